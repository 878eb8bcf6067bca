"""Meshes and points as files of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Float

from writing.files import replacing


def write_mesh(path: Path, mesh: trimesh.Trimesh, colours: Float[np.ndarray, "vertex 3"]) -> None:
    """Write a mesh by its file's ending; STL has no colours.

    Args:
        colours: sRGB in [0, 1].
    """
    kind = path.suffix.lower()
    # glTF's vertex colours are linear, those of the other formats are as in a photo.
    stored = _linear(colours) if kind == ".glb" else colours
    mesh = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    if kind != ".stl":
        mesh.visual = trimesh.visual.ColorVisuals(mesh, vertex_colors=_bytes(stored))
    if kind == ".glb":
        content = trimesh.exchange.gltf.export_glb(
            trimesh.Scene(mesh), include_normals=True, tree_postprocessor=_unlit
        )
    else:
        content = mesh.export(file_type=kind[1:])
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def write_points(
    path: Path, points: Float[np.ndarray, "point 3"], colours: Float[np.ndarray, "point 3"]
) -> None:
    """Write coloured points (sRGB in [0, 1]) as a binary PLY file."""
    content = trimesh.PointCloud(points, colors=_bytes(colours)).export(file_type="ply")
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _bytes(colours: np.ndarray) -> np.ndarray:
    rgb = (colours * 255).round().astype(np.uint8)
    return np.concatenate([rgb, np.full((len(rgb), 1), 255, np.uint8)], axis=1)


def _linear(srgb: np.ndarray) -> np.ndarray:
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _unlit(tree: dict[str, Any]) -> None:
    """The photos' light is in the colours: no viewer may shade them again."""
    surface = {"metallicFactor": 0.0, "roughnessFactor": 1.0}
    unlit = "KHR_materials_unlit"
    tree["materials"] = [{"pbrMetallicRoughness": surface, "extensions": {unlit: {}}}]
    tree["extensionsUsed"] = sorted({*tree.get("extensionsUsed", []), unlit})
    for mesh in tree["meshes"]:
        for primitive in mesh["primitives"]:
            primitive["material"] = 0
