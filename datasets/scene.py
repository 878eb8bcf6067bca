"""A scene: cameras, how to read their photos, bounds, splits. Every loader returns one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from errors import UserError

from .cameras import Cameras
from .images import Frame, Photos, load_photos
from .ndc import NDC
from .rays import Bounds
from .region import Region
from .sightings import Sightings


@dataclass(frozen=True)
class Scene:
    """What a loader makes of a folder.

    Attributes:
        name: of the folder.
        cameras: all cameras, in scene units.
        frames: how to read the photo of each camera; None where a camera has a pose only.
        splits: indices into cameras of "train", "val" and "test".
        bounds: the sampled part of each ray, and NDC for a forward-facing scene.
        background: grey level behind everything: 1 (white), 0 (black).
        cutout: there is nothing but an object near the cameras' focus; otherwise the scene goes
            on behind it.
        region: the box that a field with a grid covers; None before it is found.
        to_input: similarity from scene coordinates to those of the input's files.
        up: the direction that is up in the scene.
        sightings: reads the points of a sparse model, where there is one. Training alone needs
            them, and a model of many photos takes its time.
    """

    name: str
    cameras: Cameras
    frames: tuple[Frame | None, ...]
    splits: dict[str, list[int]]
    bounds: Bounds
    background: float = 0.0
    cutout: bool = False
    region: Region | None = None
    to_input: Float[np.ndarray, "4 4"] | None = None
    up: tuple[float, float, float] = (0.0, 1.0, 0.0)
    sightings: Callable[[], Sightings | None] = lambda: None

    def photos(self, indices: list[int], alpha: bool = False) -> Photos:
        """Read the photos of these cameras (uint8). Raises UserError for a damaged one.

        Args:
            alpha: keep the opacity of pixels too, where a photo has it.
        """
        frames = [self.frames[i] for i in indices]
        if any(frame is None for frame in frames):
            raise UserError(f"{self.name}: these views have poses but no photos")
        chosen = [frame for frame in frames if frame is not None]
        return load_photos(chosen, self.background, alpha)

    def has_photos(self, split: str) -> bool:
        """Whether the split has views, and each of them a photo."""
        views = self.splits.get(split, [])
        return bool(views) and all(self.frames[i] is not None for i in views)

    @property
    def forward_facing(self) -> bool:
        return self.bounds.ndc is not None

    @property
    def units(self) -> float:
        """Length of a scene unit in units of the input's files."""
        if self.to_input is None:
            return 1.0
        return float(np.cbrt(np.linalg.det(self.to_input[:3, :3])))

    def plain(self) -> dict[str, Any]:
        """All but the photos and sightings, as plain values: what a checkpoint keeps."""
        return {
            "name": self.name,
            "cameras": self.cameras.plain(),
            "names": [None if frame is None else frame.name for frame in self.frames],
            "splits": self.splits,
            "bounds": asdict(self.bounds),
            "background": self.background,
            "cutout": self.cutout,
            "region": None if self.region is None else asdict(self.region),
            "to_input": None if self.to_input is None else self.to_input.tolist(),
            "up": list(self.up),
        }

    @staticmethod
    def from_plain(values: dict[str, Any]) -> Scene:
        """The scene of a checkpoint: it has cameras, and no photos."""
        cameras = Cameras.from_plain(values["cameras"])
        bounds = dict(values["bounds"])
        if bounds["ndc"] is not None:
            bounds["ndc"] = NDC(**bounds["ndc"])
        to_input, region = values["to_input"], values.get("region")
        return Scene(
            name=values["name"],
            cameras=cameras,
            frames=(None,) * len(cameras),
            splits=values["splits"],
            bounds=Bounds(**bounds),
            background=values["background"],
            cutout=values.get("cutout", False),
            region=None if region is None else Region.from_plain(region),
            to_input=None if to_input is None else np.array(to_input),
            up=tuple(values["up"]),
        )

    def resized(self, img_wh: tuple[int, int] | None) -> Scene:
        """The same scene with all photos read at img_wh."""
        if img_wh is None:
            return self
        return replace(
            self,
            cameras=self.cameras.resized(*img_wh),
            frames=tuple(f if f is None else replace(f, size=img_wh) for f in self.frames),
        )


def make_cameras(
    c2w: Float[np.ndarray, "camera 3 4"],
    intrinsics: list[tuple[float, float, float, float]],
    sizes: list[tuple[int, int]],
) -> Cameras:
    """Cameras from NumPy poses and lists."""
    return Cameras(
        torch.from_numpy(np.ascontiguousarray(c2w, dtype=np.float32)),
        torch.tensor(intrinsics, dtype=torch.float32).reshape(-1, 4),
        torch.tensor(sizes, dtype=torch.int64).reshape(-1, 2),
    )


def scene_name(root: Path) -> str:
    """The name of a scene's folder or file."""
    return root.resolve().stem if root.is_file() else root.resolve().name
