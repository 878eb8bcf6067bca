"""Which scene is read, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from errors import require


@dataclass(frozen=True)
class SceneConfig:
    """Which scene, and how its files are read."""

    root_dir: str = ""
    """folder of the scene (a file for npz)"""
    dataset_name: str = "blender"
    """format of the scene"""
    img_wh: tuple[int, int] | None = None
    """width and height that the photos are resized to; by default their own"""
    spheric_poses: bool | None = None
    """llff, transforms, colmap: photos taken around an object (True) or facing forward (False); by
    default detected from the cameras"""
    cut_out: bool | None = None
    """llff, transforms, colmap: what masks leave out, or what is transparent, is empty: the photos
    show an object alone (True), or nothing is known of it (False); by default True where photos
    are transparent, and where masks leave little else than an object"""
    axes: Literal["opengl", "opencv"] | None = None
    """transforms, blender, npz: the cameras' axes in the file, OpenGL's (+y up, looking down -z)
    or OpenCV's (+y down, looking down +z); by default as the format says, and for npz as the
    cameras look"""
    holdout: int = 8
    """llff, transforms, colmap: every Nth photo is kept from training and tested on;
    0 trains on all"""
    val_holdout: int = 0
    """llff, transforms, colmap: every Nth photo of those that --holdout leaves is kept for
    validation, so that the test photos choose nothing; 0 validates on the test photos"""
    near: float | None = None
    """nearest distance that is sampled, in the units of the scene's files; by default the
    scene's own bound"""
    far: float | None = None
    """farthest distance that is sampled, likewise"""

    def __post_init__(self) -> None:
        if self.img_wh is not None:
            require(min(self.img_wh) > 0, f"--img_wh must be positive, not {self.img_wh}")
        for name in ("holdout", "val_holdout"):
            every = getattr(self, name)
            require(every == 0 or every > 1, f"--{name} must be 0 or at least 2, not {every}")
        require(self.near is None or self.near >= 0, f"--near must not be negative: {self.near}")
        if self.near is not None and self.far is not None:
            require(self.near < self.far, f"--near {self.near} must be under --far {self.far}")
