"""From a volume to a mesh: marching cubes, crumbs removed, smoothed, simplified."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
import trimesh
from jaxtyping import Float
from skimage.measure import marching_cubes

from errors import UserError

from .fusion import TRUNCATION, Volume
from .views import DepthView

# Components with fewer faces than this share of the largest one's are crumbs.
_CRUMBS = 0.02
# Taubin's filter: shrinks and inflates in turn, so that the volume stays.
_SMOOTHING_ROUNDS = 6


def extract(volume: Volume, watertight: bool) -> trimesh.Trimesh:
    """The surface where the distance is 0, in scene units, outside to the outside.

    Args:
        watertight: unseen places behind surfaces are filled, and the volume's sides are closed;
            otherwise there is surface only where a view saw it.

    Raises UserError where there is none.
    """
    distance, mask = volume.distance, None
    if watertight:
        distance = F.pad(distance[1:-1, 1:-1, 1:-1], (1,) * 6, value=1.0)
    else:
        # Cubes all of whose corners are observed; marching cubes asks for each cube's last.
        unseen = F.pad((~volume.observed).float(), (1, 0) * 3)[None, None]
        mask = F.max_pool3d(unseen, 2, stride=1)[0, 0].numpy() == 0
    # No vertex may lie on a corner, where faces would have no area.
    distance = torch.where(distance.abs() < 1e-3, 1e-3, distance)
    try:
        vertices, faces, _, _ = marching_cubes(
            distance.numpy(), 0.0, mask=mask, gradient_direction="descent", allow_degenerate=False
        )
    except (RuntimeError, ValueError) as error:
        raise UserError(
            "there is no surface in this scene to make a mesh of, or none at cells as large as "
            "--faces asks for"
        ) from error
    vertices = vertices * volume.voxel + volume.low.numpy()
    return trimesh.Trimesh(vertices, faces, process=False)


def without_crumbs(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    """The mesh without components that are small beside its largest one."""
    components = trimesh.graph.connected_components(
        mesh.face_adjacency, nodes=np.arange(len(mesh.faces)), min_len=1
    )
    largest = max(len(component) for component in components)
    kept = [c for c in components if len(c) >= _CRUMBS * largest]
    mask = np.zeros(len(mesh.faces), dtype=bool)
    mask[np.concatenate(kept)] = True
    mesh.update_faces(mask)
    mesh.remove_unreferenced_vertices()
    return mesh


def tidy(mesh: trimesh.Trimesh, most_faces: int) -> trimesh.Trimesh:
    """Without crumbs, a little smoother, and with at most so many faces."""
    mesh = without_crumbs(mesh)
    trimesh.smoothing.filter_taubin(mesh, lamb=0.5, nu=0.53, iterations=_SMOOTHING_ROUNDS)
    if len(mesh.faces) > most_faces:
        mesh = mesh.simplify_quadric_decimation(face_count=most_faces)
    return mesh


def vertex_colours(
    mesh: trimesh.Trimesh, views: Sequence[DepthView], voxel: float
) -> Float[np.ndarray, "vertex 3"]:
    """Colours in [0, 1]: the mean of the views that see a vertex, the more the more they face it.

    A vertex that none sees has the colour of the vertex next to it that one does.
    """
    x = torch.from_numpy(np.asarray(mesh.vertices)).float()
    normals = torch.from_numpy(np.array(mesh.vertex_normals)).float()
    total, weight = torch.zeros(len(x), 3), torch.zeros(len(x), 1)
    for view in views:
        uv, distance, seen = view.look_up(x)
        height, width = view.depth.shape
        column = uv[:, 0].nan_to_num().long().clamp(0, width - 1)
        row = uv[:, 1].nan_to_num().long().clamp(0, height - 1)
        near = (view.depth[row, column] - distance).abs() < TRUNCATION * voxel
        towards = F.normalize(view.camera.c2w[0, :, 3] - x, dim=1)
        facing = (towards * normals).sum(dim=1).clamp_min(0) ** 2
        own = (facing * (seen & near))[:, None]
        grid = (2 * uv.nan_to_num() / view.camera.size[0] - 1).view(1, 1, -1, 2)
        picture = view.rgb.permute(2, 0, 1)[None]
        colour = F.grid_sample(picture, grid, padding_mode="border", align_corners=False)
        total += own * colour.view(3, -1).t()
        weight += own
    colours = (total / weight.clamp_min(1e-9)).clamp(0, 1).numpy()
    known = weight[:, 0].numpy() > 1e-6
    if known.any() and not known.all():
        tree = trimesh.proximity.cKDTree(np.asarray(mesh.vertices)[known])
        colours[~known] = colours[known][tree.query(np.asarray(mesh.vertices)[~known])[1]]
    return colours
