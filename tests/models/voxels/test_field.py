"""The sparse voxel field's state."""

from __future__ import annotations

import pytest
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


@pytest.mark.parametrize("name", ["background_sh", "unseen"])
def test_fields_that_knew_less_of_their_background_load(name):
    """Earlier ones had none, or one colour, or another name for it."""
    field = VoxelField(AROUND, 64)
    state = field.state_dict()
    harmonics = state.pop("background_sh")
    fresh = VoxelField(AROUND, 64)
    fresh.load_state_dict(state)
    assert fresh.background_sh[0].tolist() == [0.5, 0.5, 0.5]
    fresh.load_state_dict(state | {name: torch.tensor([0.25, 0.5, 0.75])})
    assert fresh.background_sh[0].tolist() == [0.25, 0.5, 0.75]
    assert not fresh.background_sh[1:].any()
    fresh.load_state_dict(state | {name: harmonics + 0.1})
    assert torch.equal(fresh.background_sh, harmonics + 0.1)
