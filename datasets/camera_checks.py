"""Whether a scene's cameras can be right: what is impossible is refused, what is odd is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from datasets.config import SceneConfig
from datasets.photos import list_photos
from datasets.scene import Scene
from errors import UserError

# Pixels are square: focal lengths that differ by more between the axes are a mistake.
_STRETCH = 1.5
# Focal lengths in long sides of the photo: a view of 147 degrees, and one of 2.
_WIDE, _NARROW = 0.15, 30.0
_FEWEST = 3  # photos that a scene can be made of
_POSED = 0.5  # of the photos in a folder, under which the solve lost most of them
_ONE_POINT = 1e-9  # of the cameras' distance from the origin: rounding
_STILL = 0.03  # of the nearest distance, under which cameras that moved show no depth


def check_cameras(scene: Scene, config: SceneConfig) -> None:
    """Say what is odd about the cameras. Raises UserError where all stand at one point."""
    spread = _spread(scene)
    if len(scene.cameras) > 1 and not spread > _ONE_POINT * _far_off(scene):
        raise UserError(
            f"{config.root_dir or scene.name}: all cameras stand at one point: a scene needs "
            "several places"
        )
    for line in (
        _focal_lengths(scene, config),
        _folding_lenses(scene),
        _few_photos(scene),
        _lost_photos(scene),
        _little_motion(scene, spread),
    ):
        if line is not None:
            print(f"{scene.name}: {line}")


def _focal_lengths(scene: Scene, config: SceneConfig) -> str | None:
    focal = scene.cameras.intrinsics[:, :2].double()
    shown = focal / scene.cameras.size.max(dim=1, keepdim=True).values
    stretched = int(((focal[:, 0] / focal[:, 1]).log().abs() > np.log(_STRETCH)).sum())
    odd = int(((shown < _WIDE) | (shown > _NARROW)).any(dim=1).sum())
    count = len(focal)
    if stretched and config.img_wh is None:  # which may stretch the photos by itself
        fx, fy = focal[(focal[:, 0] / focal[:, 1]).log().abs().argmax()].tolist()
        return (
            f"the focal lengths of {stretched} of {count} cameras differ between the axes ({fx:.4g}"
            f" and {fy:.4g} pixels), which no camera's do; solve the poses again"
        )
    if odd:
        least, most = float(shown.min()), float(shown.max())
        value = least if least < _WIDE else most
        angle = np.degrees(2 * np.arctan(0.5 / value))
        return (
            f"the lenses of {odd} of {count} cameras are hardly possible (a view of {angle:.3g} "
            "degrees); solve the poses again"
        )
    return None


def _folding_lenses(scene: Scene) -> str | None:
    lenses = [frame.lens for frame in scene.frames if frame is not None and frame.lens is not None]
    reach = [lens.reach() for lens in lenses]
    folding = [share for share in reach if share < 1]
    if not folding:
        return None
    return (
        f"the distortion of {len(folding)} of {len(scene.frames)} lenses folds the photo at "
        f"{100 * min(folding):.0f} % of the way to its corners; what lies beyond is wrong: solve "
        "the poses again, with a simpler lens"
    )


def _few_photos(scene: Scene) -> str | None:
    count = sum(frame is not None for frame in scene.frames)
    if count >= _FEWEST:
        return None
    return f"{count} photo{'s are' if count != 1 else ' is'} too few for a scene; 30 to 60 are good"


def _lost_photos(scene: Scene) -> str | None:
    """Of a capture: whether most of the photos beside those with a pose have none."""
    if scene.foreground_only:  # made scenes keep depths and normals beside their pictures
        return None
    paths = {frame.path for frame in scene.frames if frame is not None and frame.path is not None}
    folders = {path.parent for path in paths}
    there = sum(len(list_photos(folder)) for folder in folders)
    if len(paths) >= _POSED * there:
        return None
    names = ", ".join(sorted(_short(folder) for folder in folders))
    return (
        f"{len(paths)} of {there} photos in {names} have a pose; what the others show will be "
        "missing: solve the poses again (prepare.py says what each photo lacks)"
    )


def _little_motion(scene: Scene, spread: float) -> str | None:
    near = scene.bounds.near * scene.units if scene.bounds.ndc is None else scene.units
    if len(scene.cameras) < 2 or not scene.near_is_known or spread > _STILL * near:
        return None
    return (
        f"the cameras are {spread:.3g} apart and the nearest thing is at {near:.3g}: too little "
        "motion for depth; move more between photos"
    )


def _spread(scene: Scene) -> float:
    """The cameras' extent in the input's units."""
    centres = scene.cameras.c2w[:, :, 3].double()
    return float((centres.amax(0) - centres.amin(0)).norm()) * scene.units


def _far_off(scene: Scene) -> float:
    """How far from the origin of the input's coordinates the scene is."""
    if scene.to_input is not None:
        return float(np.linalg.norm(scene.to_input[:3, 3]))
    return float(scene.cameras.c2w[:, :, 3].double().norm(dim=1).max())


def _short(folder: Path) -> str:
    return f"{folder.name}/"
