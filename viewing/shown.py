"""What a page shows: a trained scene, or one that is being trained."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import PIL.Image
from jaxtyping import UInt8

from api import Image, Model, save_crop
from datasets import load_scene
from datasets.scene import Scene
from errors import UserError
from geometry.cameras import Cameras
from geometry.crop import CropBox
from training.same_scene import is_same_scene

from .boxes import bounds_from

Picture = UInt8[np.ndarray, "height width 3"]
# Cropped models that are kept: two visitors may look at a box each.
_KEPT = 2


class Shown(Protocol):
    """A scene that can be rendered.

    Attributes:
        photos: of the training cameras.
        version: another number for each state that it is rendered in.
    """

    photos: Photos

    @property
    def version(self) -> int: ...

    @property
    def saved_crop(self) -> CropBox | None:
        """The box that visitors begin with."""
        ...

    @property
    def scene(self) -> Scene: ...

    def render(self, camera: Cameras, crop: CropBox | None) -> Image:
        """What a camera sees within a box, or of all of the scene."""
        ...


class Photos:
    """Photos of the training cameras, read when they are wanted.

    Args:
        scene: with files of its photos; None where they are not at hand.
    """

    def __init__(self, scene: Scene | None) -> None:
        self.scene = scene
        self._lock = threading.Lock()  # one is decoded at a time
        self._last: tuple[int, Picture] | None = None

    def __bool__(self) -> bool:
        return self.scene is not None

    def photo(self, number: int) -> Picture | None:
        """The photo of a training camera, without its lens's distortion; None without a file."""
        if self.scene is None:
            return None
        with self._lock:
            if self._last is None or self._last[0] != number:
                index = self.scene.splits["train"][number]
                try:
                    image = self.scene.photos([index]).image(0).numpy()
                except (UserError, OSError):  # removed since
                    return None
                self._last = number, image
            return self._last[1]

    def thumbnail(self, number: int, longest: int) -> Picture | None:
        """The same, with so many pixels along its longer side at most."""
        photo = self.photo(number)
        if photo is None:
            return None
        image = PIL.Image.fromarray(photo)
        image.thumbnail((longest, longest))
        return np.asarray(image)


class TrainedScene:
    """A checkpoint's scene."""

    def __init__(self, model: Model, file: Path, photos: Photos) -> None:
        self.model, self.file, self.photos = model, file, photos
        self.saved_crop, self.version = model.scene.crop, 0
        self._models: OrderedDict[CropBox | None, Model] = OrderedDict({model.scene.crop: model})

    @property
    def scene(self) -> Scene:
        return self.model.scene

    def render(self, camera: Cameras, crop: CropBox | None) -> Image:
        """What a camera sees within a box, or of all of the scene."""
        if crop not in self._models:
            while len(self._models) >= _KEPT:
                self._models.popitem(last=False)
            self._models[crop] = self.model.cropped(crop, for_pictures=True)
        self._models.move_to_end(crop)
        model = self._models[crop]
        bounds = bounds_from(self.scene, camera.c2w[0, :, 3])
        return replace(model, scene=replace(model.scene, bounds=bounds)).render(camera)

    def save_crop(self, crop: CropBox | None) -> None:
        """Write a crop into the checkpoint. Raises UserError or OSError where that fails."""
        save_crop(self.file, crop)
        self.saved_crop = crop


def find_photos(model: Model, root_dir: str | None) -> Photos:
    """The photos that a model was trained on, where they are at hand; says where they are not.

    Args:
        root_dir: the scene's folder; by default as in the training.
    """
    options = model.options if root_dir is None else replace(model.options, root_dir=root_dir)
    try:
        files = load_scene(options)
    except UserError as error:
        print(f"{error}; cameras are shown without their photos (--root_dir)", flush=True)
        return Photos(None)
    if not files.has_photos("train") or not is_same_scene(model.scene, (), files):
        print(f"{files.name}: not the photos of this scene; cameras are shown without", flush=True)
        return Photos(None)
    return Photos(files)
