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


@pytest.mark.parametrize(
    "damage",
    [
        {"box": torch.tensor([[-1.0] * 3, [float("nan"), 0.1, 0.1]], dtype=torch.float64)},
        {"box": torch.tensor([[-1.0] * 3, [0.0, 0.1, 0.1]], dtype=torch.float64)},
        {"box": torch.tensor([[-1e300] * 3, [0.1] * 3], dtype=torch.float64)},
        {"dims": torch.tensor([2000, 2000, 2000])},
        {"dims": torch.tensor([-4, 4, 4])},
    ],
    ids=["nan", "flat", "far", "many", "negative"],
)
def test_a_grid_of_damaged_numbers_is_refused(damage):
    field = VoxelField(BOX, 24)
    with pytest.raises(ValueError, match="a grid of"):
        VoxelField(BOX, 24).load_state_dict(field.state_dict() | damage)
