"""A scene: cameras, how to read their photos, bounds, splits. Every loader returns one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from datasets.files.layout import check_layout
from datasets.files.numbers import LARGEST, matrix
from datasets.photos import Frame, Photos, load_photos
from datasets.sparse.observations import SparseObservations
from errors import UserError
from geometry.cameras import Cameras
from geometry.crop import CropBox
from geometry.ndc import NDC
from geometry.rays import Bounds
from geometry.region import Region

# Of `Scene.to_dict`.
_LAYOUT = {
    "name": str,
    "cameras": {"c2w": list, "intrinsics": list, "size": list},
    "splits": {str: [int]},
    "bounds": {
        **{"near": float, "far": float, "warped_viewdirs": bool},
        "ndc": {"scale_x": float, "scale_y": float, "near": float},
    },
    "background": float,
    "foreground_only": bool,
    "region": {
        **{"center": list, "half": list, "unbounded": bool},
        **{"z_anisotropy": float, "pixel_footprint": float, "near_clip": float},
    },
    "up": [float],
    "crop": {"center": [float], "half": [float], "axes": [[float]]},
}

# What values raise that are not as they should be.
_DAMAGED = (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RuntimeError)


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
        foreground_only: there is nothing but an object near the cameras' focus; otherwise the
            scene goes on behind it.
        region: the box that a field with a grid covers; None before it is found.
        near_is_known: the files say how near things are; otherwise the bounds are a guess.
        to_input: similarity from scene coordinates to those of the input's files.
        up: the direction that is up in the scene.
        crop: the box that is shown of a trained scene; None shows all of it.
        observations: reads the points of a sparse model, where there is one. Training alone needs
            them, and a model of many photos takes its time.
    """

    name: str
    cameras: Cameras
    frames: tuple[Frame | None, ...]
    splits: dict[str, list[int]]
    bounds: Bounds
    background: float = 0.0
    foreground_only: bool = False
    region: Region | None = None
    to_input: Float[np.ndarray, "4 4"] | None = None
    up: tuple[float, float, float] = (0.0, 1.0, 0.0)
    near_is_known: bool = True
    crop: CropBox | None = None
    observations: Callable[[], SparseObservations | None] = lambda: None

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

    def is_shown(self, x: Float[Tensor, "*point 3"]) -> Bool[Tensor, "*point"]:
        """Whether points of the rays' space lie in the crop."""
        if self.crop is None:
            return torch.ones(x.shape[:-1], dtype=torch.bool, device=x.device)
        return self.crop.contains(x, self.bounds.ndc)

    @property
    def forward_facing(self) -> bool:
        return self.bounds.ndc is not None

    @property
    def units(self) -> float:
        """Length of a scene unit in units of the input's files."""
        if self.to_input is None:
            return 1.0
        return float(np.cbrt(np.linalg.det(self.to_input[:3, :3])))

    def to_dict(self) -> dict[str, Any]:
        """All but the photos and observations, as plain values: what a checkpoint keeps."""
        return {
            "name": self.name,
            "cameras": self.cameras.to_dict(),
            "names": [None if frame is None else frame.name for frame in self.frames],
            "splits": self.splits,
            "bounds": asdict(self.bounds),
            "background": self.background,
            "foreground_only": self.foreground_only,
            "region": None if self.region is None else asdict(self.region),
            "to_input": None if self.to_input is None else self.to_input.tolist(),
            "up": list(self.up),
            "crop": None if self.crop is None else self.crop.to_dict(),
        }

    @staticmethod
    def from_dict(values: Any) -> Scene:
        """The scene of a checkpoint: it has cameras, and no photos.

        Raises UserError, which does not know the file, where `to_dict` did not make these values.
        """
        try:
            scene = _from_dict(values)
            if not scene.is_finite():
                raise ValueError("numbers that are not finite")
        except _DAMAGED as error:
            raise UserError(f"the description of the scene is damaged ({error!r})") from error
        return scene

    def is_finite(self) -> bool:
        """Whether cameras, bounds and region are numbers that can be rendered with."""
        numbers = [self.bounds.near, self.bounds.far, self.background, *self.up]
        sizes = []
        if self.to_input is not None:
            numbers += self.to_input.ravel().tolist()
        if self.region is not None:
            region = self.region
            numbers += [*region.center, region.near_clip]
            sizes += [*region.half, region.pixel_footprint, region.z_anisotropy]
        if self.bounds.ndc is not None:
            sizes += [self.bounds.ndc.scale_x, self.bounds.ndc.scale_y, self.bounds.ndc.near]
        cameras = self.cameras
        return (
            bool(torch.isfinite(cameras.c2w).all() and torch.isfinite(cameras.intrinsics).all())
            and bool((cameras.intrinsics[:, :2] > 0).all() and (cameras.size > 0).all())
            and all(abs(number) <= LARGEST for number in numbers)
            and self.bounds.near < self.bounds.far
            and (self.to_input is None or self.units > 0)
            and all(0 < size <= LARGEST for size in sizes)
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


def _from_dict(values: Any) -> Scene:
    check_layout(values, _LAYOUT, "scene")
    cameras = Cameras.from_dict(values["cameras"])
    counts = {len(cameras.c2w), len(cameras.intrinsics), len(cameras.size)}
    indices = {i for split in values["splits"].values() for i in split}
    if len(counts) != 1 or not indices <= set(range(len(cameras))) or not values["splits"]["train"]:
        raise ValueError("splits and cameras do not fit")
    bounds = dict(values["bounds"])
    if bounds["ndc"] is not None:
        bounds["ndc"] = NDC(**bounds["ndc"])
    to_input, region, crop = values["to_input"], values.get("region"), values.get("crop")
    x, y, z = values["up"]
    return Scene(
        name=_plain(values["name"]),
        cameras=cameras,
        frames=(None,) * len(cameras),
        splits=values["splits"],
        bounds=Bounds(**bounds),
        background=values["background"],
        foreground_only=values.get("foreground_only", values.get("cutout", False)),
        region=None if region is None else Region.from_dict(region),
        to_input=None if to_input is None else matrix(to_input, [(4, 4)], "to_input"),
        up=(x, y, z),
        crop=None if crop is None else CropBox.from_dict(crop),
    )


def _plain(name: str) -> str:
    """A name from a file as one that leads to no other folder, and can be printed."""
    name = "".join(c if c.isprintable() and c not in '/\\:*?"<>|' else "_" for c in name[:100])
    return name.strip(" .") or "scene"


def scene_name(root: Path) -> str:
    """The name of a scene's folder or file."""
    return root.resolve().stem if root.is_file() else root.resolve().name
