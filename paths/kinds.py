"""The scene of a camera path, by the kind's name alone."""

from __future__ import annotations

from datasets.scene import Scene
from paths.path import PathConfig
from paths.plan import path_scene, plan_path


def render_path(scene: Scene, kind: str | None, n_frames: int) -> Scene:
    """The scene with a split "path" of the cameras that `plan_path` makes without depth.

    Args:
        kind: a name of `paths.path.KINDS`, or a JSON file; None is what suits the capture.
    """
    return path_scene(scene, plan_path(scene, PathConfig(kind, n_frames)))
