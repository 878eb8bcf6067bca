"""The sparse voxel field's state."""

from __future__ import annotations

import torch

from models.voxels.field import VoxelField
from tests.helpers.voxels import AROUND, BOX


def test_a_field_moves_to_where_there_is_no_double_precision():
    def move(tensor: torch.Tensor) -> torch.Tensor:
        assert tensor.dtype != torch.float64
        return tensor

    field = VoxelField(BOX, 24)
    box = field.state_dict()["box"]
    assert torch.equal(field._apply(move).state_dict()["box"], box)


def test_fields_that_knew_less_of_what_is_unseen_load():
    field = VoxelField(AROUND, 64)
    state = field.state_dict()
    del state["background_sh"]
    fresh = VoxelField(AROUND, 64)
    fresh.load_state_dict(state)
    assert fresh.background_sh[0].tolist() == [0.5, 0.5, 0.5]
    fresh.load_state_dict(
        state | {"background_sh": torch.tensor([0.25, 0.5, 0.75])}
    )  # a colour alone
    assert fresh.background_sh[0].tolist() == [0.25, 0.5, 0.75]
    assert not fresh.background_sh[1:].any()
