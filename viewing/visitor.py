"""One browser: where it looks from, and what it wants to see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from api import Image
from errors import UserError, explain
from geometry.cameras import Cameras
from geometry.crop import CropBox

from .cameras import Eye, alike, axis_of, camera_of, eye_of, up_of
from .loop import RenderLoop
from .pictures import KINDS, Picture, photo_over, picture_of
from .shown import Shown

# The longer side of the photo in the panel.
_PANEL_PHOTO = 400


@dataclass(frozen=True)
class View:
    """What a visitor wants to see.

    Attributes:
        kind: one of KINDS.
        crop: the box that is shown; None shows all.
        photo: number of the training camera whose photo lies over the picture, and its share.
    """

    eye: Eye
    kind: str
    crop: CropBox | None
    photo: tuple[int, float] | None


class Hall(Protocol):
    """What visitors share."""

    shown: Shown
    loop: RenderLoop[View]
    train: Cameras
    size: int
    visitors: dict[int, Visitor]


class Visitor:
    """A browser's view.

    Args:
        client: viser's.

    Attributes:
        kind, size, crop, photo_share: what its panels have set.
    """

    def __init__(self, client: Any, hall: Hall) -> None:
        self.client, self.hall, self.number = client, hall, client.client_id
        self.kind, self.size = KINDS[0], hall.size
        self.crop, self.photo_share = hall.shown.saved_crop, 0.0
        self.standing: int | None = None
        self.moved: list[Callable[[Eye], None]] = []  # panels that follow the camera
        self.panel_photo: Any = None
        self._last: tuple[Any, int, tuple[Image, Cameras]] | None = None

    @property
    def eye(self) -> Eye:
        camera = self.client.camera
        wxyz, position = (tuple(map(float, v)) for v in (camera.wxyz, camera.position))
        return Eye(wxyz, position, float(camera.fov), float(camera.aspect))

    def view(self) -> View:
        """What it wants to see now."""
        eye, photo, at = self.eye, None, self.standing
        if at is not None and self.photo_share > 0 and alike(eye, eye_of(self.hall.train, at)):
            photo = at, self.photo_share
        return View(eye, self.kind, self.crop, photo)

    def changed(self, _: Any = None) -> None:
        """Have its view rendered."""
        view = self.view()
        for follow in self.moved:
            follow(view.eye)
        self.hall.loop.want(self.number, view, self.size)

    def render(self, view: View, longest: int) -> Picture:
        """A picture of its view; called by the loop alone."""
        shown = self.hall.shown
        image, camera = self._image(view, longest)
        picture = picture_of(image, camera, view.kind)
        if view.photo is not None:
            photo = shown.photos.photo(view.photo[0])
            if photo is not None:
                picture = photo_over(picture, photo, view.photo[1])
        return picture

    def _image(self, view: View, longest: int) -> tuple[Image, Cameras]:
        """Rendered, or what it was last where that shows the same as finely: a photo over it, or
        its depth, takes no second rendering."""
        key = (view.eye, view.crop, self.hall.shown.version)
        if self._last is None or self._last[0] != key or self._last[1] < longest:
            camera = camera_of(view.eye, longest)
            self._last = key, longest, (self.hall.shown.render(camera, view.crop), camera)
        return self._last[2]

    def show(self, picture: Picture) -> None:
        self.client.scene.set_background_image(picture, format="jpeg", jpeg_quality=90)

    def look(self, eye: Eye, up: np.ndarray | None = None) -> None:
        """Put its camera somewhere, turning about what it looks at.

        Args:
            up: by default the scene's.
        """
        scene = self.hall.shown.scene
        axis, position = axis_of(eye), np.asarray(eye.position)
        distance = 1.0
        if scene.region is not None and not scene.forward_facing:
            distance = max(0.1, float(axis @ (np.asarray(scene.region.center) - position)))
        camera = self.client.camera
        with self.client.atomic():
            camera.up_direction = np.asarray(scene.up) if up is None else up
            camera.position = position
            camera.look_at = position + distance * axis
            camera.fov = eye.fov

    def is_here(self) -> bool:
        """Whether the browser has not left."""
        return self.number in self.hall.visitors

    def stand(self, number: int) -> None:
        """Stand exactly where a training camera does, with the photo at hand."""
        eye = eye_of(self.hall.train, number)
        self.standing = number
        self.look(eye, up_of(eye))
        thumbnail = self.hall.shown.photos.thumbnail(number, _PANEL_PHOTO)
        if self.panel_photo is not None and thumbnail is not None:
            self.panel_photo.image = thumbnail
            self.panel_photo.visible = True
        self.changed()

    def reset(self) -> None:
        """The first training camera, upright."""
        self.standing = None
        self.look(eye_of(self.hall.train, 0))
        self.changed()

    def say(self, title: str, body: str) -> None:
        self.client.add_notification(title, body, auto_close_seconds=12.0)

    def try_to(self, action: Callable[[], object]) -> None:
        """A mistake becomes a message in the browser, and changes nothing."""
        try:
            action()
        except (UserError, OSError) as error:
            self.say("That did not work", str(explain(error) or error))
