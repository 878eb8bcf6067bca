"""What a page knows of its scene beside the field: plain values for its script."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from datasets.scene import Scene
from errors import UserError
from geometry.capture_kind import Capture, describe_capture
from geometry.poses import Poses, normalize
from models.appearance.nearby import NearbyExposure
from models.voxels.field import VoxelField
from models.voxels.shader import Shader
from paths.level import stand_upright
from paths.path import CameraPath

from .exposure import describe_exposure
from .pack import Bricks
from .quantise import Codes

# How far the eye may leave the photos: of directions about a subject, and of places elsewhere.
_LEAST_ANGLE, _MOST_ANGLE, _LEAST_STEP = 5.0, 25.0, 0.05
_NEAREST, _FARTHEST = 0.45, 1.35
_AROUND = ("surround", "dome", "arc")


def describe_field(field: VoxelField, bricks: Bricks, codes: Codes) -> dict[str, Any]:
    """The lattice, the ranges of the bytes, the equations' constants and the network's weights."""
    lattice, region, recipe = field.grid.lattice, field.region, field.recipe
    kind = "contracted" if region.unbounded else "ndc" if region.z_anisotropy > 1 else "box"
    return {
        "kind": kind,
        "bricks": len(bricks.positions),
        "corners": codes.planes.shape[1],
        "levels": codes.levels,
        "dims": list(lattice.dims),
        "brickDims": list(bricks.dims),
        "lattice": {"low": list(lattice.low), "edge": list(lattice.edge)},
        "center": list(region.center),
        "half": list(region.half),
        "nearClip": region.near_clip,
        "low": codes.low.tolist(),
        "high": codes.high.tolist(),
        "step": recipe.step,
        "weightThreshold": recipe.weight_threshold,
        "earlyStop": recipe.early_stop_eps,
        "viewDependence": recipe.view_dependence,
        "harmonics": None if recipe.known_background else field.background_sh.flatten().tolist(),
        "network": _network(field.shader),
    }


def _network(shader: Shader) -> list[float]:
    """Weights as the shader's uniform block has them: matrices of 4 x 4 (columns first), block row
    by block row, of the three layers; then their biases."""
    layers = [m for m in shader.network if isinstance(m, torch.nn.Linear)]
    sizes = [(m.out_features, m.in_features) for m in layers]
    if sizes != [(32, 16), (32, 32), (3, 32)]:
        raise UserError("the field's network is not one that a page can show")
    matrices, biases = [], []
    for layer in layers:
        weight, bias = layer.weight.detach().cpu(), layer.bias.detach().cpu()
        missing = -len(weight) % 4
        weight = torch.nn.functional.pad(weight, (0, 0, 0, missing))
        rows, columns = weight.shape
        blocks = weight.view(rows // 4, 4, columns // 4, 4).permute(0, 2, 3, 1)
        matrices += blocks.flatten().tolist()
        biases += torch.nn.functional.pad(bias, (0, missing)).tolist()
    return [round(value, 7) for value in matrices + biases]


def describe_scene(
    scene: Scene,
    exposure: NearbyExposure | None,
    path: CameraPath,
    depth_range: tuple[float, float],
    fps: float,
) -> dict[str, Any]:
    """The cameras, how far the eye may leave them, exposures, and the input's coordinates.

    Args:
        path: the flight.
        depth_range: of the depth view, in scene units.
        fps: of the flight's frames.
    """
    bounds = scene.bounds
    photos = scene.cameras[scene.splits["train"]]
    poses = photos.c2w.double().numpy()
    capture = describe_capture(poses)
    subject = np.asarray(path.subject, dtype=float)
    file_up = np.array([0.0, 0.0, 1.0])
    if scene.to_input is not None:
        file_up = np.linalg.inv(scene.to_input[:3, :3]) @ file_up
    up = stand_upright(poses, np.array(scene.up, dtype=float), normalize(file_up), 0.0).up
    fx, fy, _, _ = path.cameras.intrinsics[0].tolist()
    width, height = path.cameras.size[0].tolist()
    frames = path.cameras.c2w.double().numpy()
    seen = np.concatenate([poses, frames[:: max(1, len(frames) // 40)]])
    ndc = bounds.ndc
    return {
        "title": scene.name,
        "near": bounds.near,
        "far": bounds.far,
        "ndc": [1.0, 1.0, 1.0] if ndc is None else [ndc.scale_x, ndc.scale_y, ndc.near],
        "background": scene.background,
        "depthRange": list(depth_range),
        "fromInput": _from_input(scene.to_input),
        "up": _plain(up),
        "subject": _plain(subject),
        "reach": float(np.median(np.linalg.norm(poses[:, :, 3] - subject, axis=1))),
        "photos": _plain(np.concatenate([seen[:, :, 3], seen[:, :, 2]], axis=1)),
        "limits": _limits(capture, poses, seen, subject),
        "flight": {
            "poses": _plain(frames.reshape(-1, 12)),
            "fps": fps,
            **{"fx": fx, "fy": fy, "width": width, "height": height},
        },
        "exposure": None if exposure is None else describe_exposure(exposure),
    }


def _plain(values: Float[np.ndarray, "*any"]) -> Any:
    return np.round(np.asarray(values, dtype=float), 6).tolist()


def _from_input(to_input: Float[np.ndarray, "4 4"] | None) -> dict[str, Any]:
    inverse = np.eye(4) if to_input is None else np.linalg.inv(to_input)
    scale = float(np.cbrt(np.linalg.det(inverse[:3, :3])))
    return {
        "rotation": (inverse[:3, :3] / scale).flatten().tolist(),
        "scale": scale,
        "translation": inverse[:3, 3].tolist(),
    }


def _limits(
    capture: Capture, poses: Poses, seen: Poses, subject: Float[np.ndarray, "3"]
) -> dict[str, Any]:
    """Where the eye may be: see Orbit.limit in viewer/camera.js."""
    offset = poses[:, :, 3] - subject
    distance = np.linalg.norm(offset, axis=1)
    around = capture.kind in _AROUND
    directions = offset / distance[:, None].clip(1e-9) if around else poses[:, :, 2]
    cosine = np.clip(directions @ directions.T, -1, 1) - 3 * np.eye(len(poses))
    gap = float(np.median(np.degrees(np.arccos(cosine.max(axis=1).clip(-1)))))
    between = np.linalg.norm(poses[:, None, :, 3] - poses[None, :, :, 3], axis=2)
    np.fill_diagonal(between, np.inf)
    nearest = between.min(axis=1)
    step = float(np.median(nearest)) if len(poses) > 1 else 0.0
    spans = np.linalg.norm(seen[:, :, 3] - subject, axis=1)
    return {
        "around": around,
        "angle": float(np.radians(max(_LEAST_ANGLE, min(1.5 * gap, _MOST_ANGLE)))),
        "step": max(step, _LEAST_STEP * float(np.median(distance))),
        "distance": [_NEAREST * float(spans.min()), _FARTHEST * float(spans.max())],
        "target": (0.35 if around else 1.0) * float(np.median(distance)),
    }
