"""Voxel fields of each kind of scene that hold something, without training, and their scenes."""

from __future__ import annotations

import numpy as np
import torch

from datasets.scene import Scene
from geometry.cameras import make_cameras
from geometry.ndc import NDC
from geometry.rays import Bounds
from geometry.region import Region
from models.voxels.field import VoxelField
from models.voxels.grid import VoxelGrid
from models.voxels.growth import first_grid
from tests.scenes import circle_poses, forward_poses

SIZE, FOCAL = 64, 70.0
REGIONS = {
    "box": Region((0.1, 0.0, 0.0), (1.5, 1.5, 1.5)),
    "contracted": Region((0.0, 0.0, 0.0), (1.4, 1.4, 1.4), unbounded=True),
    "ndc": Region((0.0, 0.0, 0.0), (1.4, 1.4, 1.0), z_anisotropy=3.0),
}


def ball_field(kind: str, cells: float = 40.0) -> VoxelField:
    """A ball, and around it a wall where the scene is unbounded; colours differ from place to place
    and with the direction."""
    torch.manual_seed(0)
    region = REGIONS[kind]
    field = VoxelField(region, int(cells))
    grid = first_grid(region, cells)
    grid = VoxelGrid(grid.lattice, grid.mask & _solid(grid, 0.12))
    state = dict(field.state_dict())
    box = [grid.lattice.low, grid.lattice.edge]
    state |= {
        "cells": grid.cells.int(),
        "dims": torch.tensor(grid.lattice.dims),
        "box": torch.tensor(box, dtype=torch.float64),
        "density_table": torch.zeros(grid.size, 1),
        "feature_table": torch.zeros(grid.size, 8),
    }
    for level in grid.levels:
        corner = torch.stack(torch.unravel_index(level.corners, level.dims), dim=1).float()
        x = corner * level.spacing * torch.tensor(grid.lattice.edge) + torch.tensor(box[0])
        rows = slice(level.first, level.first + len(level.corners))
        fine = level.spacing == 1
        density = torch.maximum(9 - 60 * (x.norm(dim=1) - 0.45).abs(), 60 * _wall(x) - 3)
        waves = torch.sin(x @ torch.randn(3, 8) * 4 + torch.arange(8))
        state["density_table"][rows, 0] = density.clamp_min(-4) if fine else torch.sin(5 * x[:, 0])
        state["feature_table"][rows] = (0.3 if fine else 0.1) * waves
    field.load_state_dict(state)
    with torch.no_grad():
        last = field.shader.network[-1]
        assert isinstance(last, torch.nn.Linear)
        last.weight.normal_(0, 0.2)
        torch.nn.init.normal_(field.background_sh, 0, 0.1)
        field.background_sh[0] = torch.tensor([0.4, 0.5, 0.6])
    return field.eval()


def _wall(x: torch.Tensor) -> torch.Tensor:
    return x.abs().amax(dim=1) - 0.92


def _solid(grid: VoxelGrid, margin: float) -> torch.Tensor:
    lattice = grid.lattice
    index = torch.stack(
        torch.meshgrid(*(torch.arange(n) + 0.5 for n in lattice.dims), indexing="ij"), dim=-1
    )
    x = (index * torch.tensor(lattice.edge) + torch.tensor(lattice.low)).view(-1, 3)
    kept = (x.norm(dim=1) < 0.45 + margin) | (_wall(x) > -0.05)
    if not lattice.region.unbounded:
        kept = x.norm(dim=1) < 0.45 + margin
    return kept.view(lattice.dims)


def scene_of(kind: str) -> Scene:
    """Twelve cameras; the input's coordinates are turned, moved and larger."""
    poses = forward_poses(12) if kind == "ndc" else circle_poses(12)
    count = len(poses)
    ndc = NDC(2 * FOCAL / SIZE, 2 * FOCAL / SIZE) if kind == "ndc" else None
    bounds = Bounds(0.0, 1.0, ndc) if ndc else Bounds(0.5, 8.0)
    to_input = np.array([[0, -3.0, 0, 1], [3.0, 0, 0, 2], [0, 0, 3.0, 3], [0, 0, 0, 1]])
    lens = (FOCAL, FOCAL, SIZE / 2 + 3, SIZE / 2 - 2)
    return Scene(
        name="a ball <&>",
        cameras=make_cameras(np.asarray(poses)[:, :3], [lens] * count, [(SIZE, SIZE)] * count),
        frames=(None,) * count,
        splits={"train": list(range(count)), "val": [0], "test": [0, 5]},
        bounds=bounds,
        background=1.0,
        foreground_only=kind == "box",
        region=REGIONS[kind],
        to_input=to_input,
        up=(0.0, 0.0, 1.0) if kind != "ndc" else (0.0, 1.0, 0.0),
    )
