"""What a capture is prepared from, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from errors import require


@dataclass(frozen=True)
class PrepareConfig:
    """Make a scene from photos, from a video, or from a COLMAP reconstruction."""

    input: str
    """folder of photos, video file (mp4, mov, gif), or folder with images/ and sparse/ of COLMAP"""
    root_dir: str
    """folder of the scene that is written"""
    max_size: int = 1600
    """longer side that larger photos are reduced to, in pixels"""
    n_frames: int = 60
    """frames that are taken of a video, the sharpest ones spread over its time"""
    mapper: Literal["incremental", "global"] = "incremental"
    """how poses are found: photo by photo, or all at once (faster for hundreds of photos)"""
    aruco: bool = False
    """a scene in metres, in the frame of a printed ArUco tag (DICT_4X4_50) that photos show"""
    tag_size: float | None = None
    """aruco: side of the tag's black square in metres"""
    calibration: str | None = None
    """aruco: folder of photos of the tag to calibrate the camera from, where features place
    nothing; by default the input's"""

    def __post_init__(self) -> None:
        require(bool(self.input), "--input is empty: name the folder of the photos")
        require(bool(self.root_dir), "--root_dir is empty: name the folder of the scene")
        require(self.max_size >= 200, f"--max_size must be at least 200, not {self.max_size}")
        require(not self.aruco or self.tag_size is not None, "--aruco needs --tag_size, in metres")
        require(
            self.aruco or (self.tag_size, self.calibration) == (None, None),
            "--tag_size and --calibration go with --aruco",
        )
        require(self.tag_size is None or self.tag_size > 0, "--tag_size must be positive")
        require(self.n_frames >= 3, f"--n_frames must be at least 3, not {self.n_frames}")
