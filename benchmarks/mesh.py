"""Meshes of the demo scene against its exact solids: fused depths, and a density threshold.

    python -m benchmarks.mesh --ckpt_path ckpts/demo/last.ckpt

The exact surface is what rays through the pixels of many cameras hit first. "To the solids" is
the mean distance of points on the mesh from it, "from the solids" that of its points from the
mesh. Of the density, the threshold with the least sum of both counts; parts that no camera sees
are cut from its mesh, as from the other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
import trimesh

from api import Model, load
from benchmarks.record import Recorder, RecordOptions, single
from cli import parse
from datasets.demo.scene import orbit_poses, spiral_poses
from datasets.demo.still_life import still_life
from errors import run_command
from exporting.mesh.export import fused, to_input
from exporting.mesh.fusion import Volume
from exporting.mesh.surface import extract, tidy
from geometry.cameras import make_cameras

# Pixels along each side of the exact views.
_SIZE = 480
_SAMPLES = 1_500_000
_THRESHOLDS = (0.05, 0.1, 0.2, 0.4)


@dataclass(frozen=True)
class Options(RecordOptions):
    """Measure meshes of the demo scene."""

    ckpt_path: str
    """a checkpoint of train.py --dataset_name demo"""
    faces: int = 200_000
    """faces that the meshes have at most"""
    accelerator: str = "auto"
    """auto, cpu, gpu or mps"""


def exact_points() -> np.ndarray:
    """Points (point, 3) of the solids' surfaces, seen by 104 cameras around them."""
    poses = np.concatenate([spiral_poses(64, 5, 70), orbit_poses(40)])[:, :3]
    focal = 0.5 * _SIZE / np.tan(0.35)
    lens = (focal, focal, _SIZE / 2, _SIZE / 2)
    cameras = make_cameras(poses, [lens] * len(poses), [(_SIZE, _SIZE)] * len(poses))
    world, points = still_life(), []
    grid = torch.arange(0, _SIZE)
    y, x = (v.reshape(-1) for v in torch.meshgrid(grid, grid, indexing="ij"))
    for index in range(len(poses)):
        origins, directions = cameras.rays(torch.full_like(x, index), x, y)
        o, d = origins[:1].t().double(), directions.t().contiguous().double()
        t, which = world.trace(o, d)
        hit = which >= 0
        points.append((o + t[hit] * d[:, hit]).t().float().numpy())
    return np.concatenate(points)


def density_mesh(model: Model, volume: Volume, threshold: float, faces: int) -> trimesh.Trimesh:
    """Where a path of one voxel's length becomes as opaque as the threshold."""
    field = model.fields["nerf_coarse"]
    shape = volume.distance.shape
    sigma = torch.zeros(volume.distance.numel())
    with torch.no_grad():
        for part in torch.arange(len(sigma)).split(1 << 18):
            index = torch.stack(torch.unravel_index(part, shape), dim=1)
            x = (index * volume.voxel + volume.low).to(model.device)
            sigma[part] = field.activation(field.density(x)[0].reshape(-1)).cpu()
    alpha = 1 - torch.exp(-sigma * volume.voxel)
    distance = (threshold - alpha).clamp(-1, 1).view(shape)
    return tidy(extract(replace(volume, distance=distance), watertight=False), faces)


def main() -> None:
    options = parse(Options)
    recorder = Recorder(options.record)
    model = load(options.ckpt_path, options.accelerator)
    exact = exact_points()
    exact_tree = trimesh.proximity.cKDTree(exact)
    some = exact[:: max(1, len(exact) // 300_000)]

    def distances(mesh: trimesh.Trimesh) -> tuple[float, float]:
        moved = to_input(mesh, model)
        points = trimesh.sample.sample_surface(moved, _SAMPLES, seed=0)[0]
        there = exact_tree.query(points[::5], workers=-1)[0].mean()
        back = trimesh.proximity.cKDTree(points).query(some, workers=-1)[0].mean()
        return float(there), float(back)

    _, volume = fused(model)
    voxel = volume.voxel * model.scene.units
    meshes = {"fused depths": distances(tidy(extract(volume, watertight=False), options.faces))}
    print(f"a voxel is {voxel:.4f}; fused depths: {meshes['fused depths']}")
    tried = {}
    for threshold in _THRESHOLDS:
        tried[threshold] = distances(density_mesh(model, volume, threshold, options.faces))
        print(f"density, opacity {threshold} a voxel: {tried[threshold]}")
    best = min(tried, key=lambda threshold: sum(tried[threshold]))
    meshes[f"density at {best}"] = tried[best]
    values = [single("a voxel", voxel, "units", "quality", 4)]
    for name, (there, back) in meshes.items():
        values.append(single(f"{name}, to the solids", there, "units", "quality", 4))
        values.append(single(f"{name}, from the solids", back, "units", "quality", 4))
    recorder.write(f"meshes of {model.scene.name} against its exact solids", values)


if __name__ == "__main__":
    run_command(main)
