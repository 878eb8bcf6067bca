"""Writes the surface of a trained scene, in the coordinates of its input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import trimesh

from api import Model
from errors import UserError
from writing.files import check_writable

from .files import write_mesh, write_points
from .fusion import Box, Volume, coarser, crop, fuse, voxel_size
from .surface import extract, tidy, vertex_colours, without_crumbs
from .views import DepthView, render_views

_SIDE, _MOST_VIEWS, _MOST_VOXELS = 300, 100, 12_000_000


def export_surface(
    model: Model, mesh: Path | None, points: Path | None, most_faces: int, watertight: bool
) -> None:
    """Write the surface as a mesh, as coloured points, or both, and print what became of it.

    Args:
        mesh: a file that ends in .glb, .ply, .obj or .stl.
        points: a file that ends in .ply.
        most_faces: of the mesh.
        watertight: close it.

    Raises UserError where the scene is forward-facing or has nothing in it, OSError where a file
    cannot be written.
    """
    for path in (mesh, points):
        if path is not None:
            _check_writable(path)
    views, volume = fused(model)
    if mesh is not None:
        surface = tidy(extract(volume, watertight), most_faces)
        if watertight and not surface.is_watertight:
            surface = _coarser_closed(volume, most_faces)
        colours = vertex_colours(surface, views, volume.voxel)
        write_mesh(mesh, to_input(surface, model), colours)
        closed = ", watertight" if surface.is_watertight else ""
        print(f"{mesh}: {len(surface.faces)} faces{closed}")
    if points is not None:
        surface = without_crumbs(extract(volume, watertight=False))
        colours = vertex_colours(surface, views, volume.voxel)
        write_points(points, np.asarray(to_input(surface, model).vertices), colours)
        print(f"{points}: {len(surface.vertices)} points")


def fused(model: Model) -> tuple[list[DepthView], Volume]:
    """Depths of training views, and the volume of what they show where the cameras look."""
    if model.scene.forward_facing:
        raise UserError(
            "--mesh and --points take scenes with cameras around them; this one is forward-facing"
        )
    region = model.scene.region
    assert region is not None  # load finds it
    views = render_views(model, _SIDE, _MOST_VIEWS)
    center, half = torch.tensor(region.center), torch.tensor(region.half)
    whole = Box(center - half, center + half)
    if model.scene.crop is not None:
        corners = torch.from_numpy(model.scene.crop.corners()).float()
        whole = Box(corners.amin(dim=0), corners.amax(dim=0))
    box = crop(views, whole)
    if box is None:
        raise UserError(f"{model.scene.name}: the trained scene has nothing in it, no mesh to make")
    finest = 2 * max(region.half) / region.pixels_across
    return views, fuse(views, box, voxel_size(box, finest, _MOST_VOXELS))


def to_input(mesh: trimesh.Trimesh, model: Model) -> trimesh.Trimesh:
    """A copy in the coordinates of the input's files."""
    moved = mesh.copy()
    if model.scene.to_input is not None:
        moved.apply_transform(model.scene.to_input)
    return moved


def _coarser_closed(volume: Volume, most_faces: int) -> trimesh.Trimesh:
    """A closed surface that has few enough faces by itself: simplifying can open a surface."""
    factor = 1.0
    while True:
        factor *= 1.15
        surface = tidy(extract(coarser(volume, factor), watertight=True), 1 << 40)
        if len(surface.faces) <= most_faces:
            return surface


def _check_writable(path: Path) -> None:
    """Before all the work: whether the file can be written at all."""
    if path.is_dir():
        raise UserError(f"{path}: this is a folder")
    check_writable(path.parent)
