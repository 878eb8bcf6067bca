"""The view: what is shown, the training cameras, stills."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any

import numpy as np

from geometry.cameras import Cameras

from ..cameras import Eye, eye_of
from ..pictures import KINDS, png_bytes
from ..visitor import Visitor

# Training cameras with a thumbnail, and its longer side: a browser keeps each as a texture.
_THUMBNAILS, _THUMBNAIL_SIDE = 40, 96
_WIDEST, _NARROWEST = 120.0, 5.0


def add_look(gui: Any, visitor: Visitor) -> None:
    """Controls of one visitor's view."""
    photos = visitor.hall.shown.photos
    kind = gui.add_dropdown("show", KINDS, initial_value=KINDS[0])
    size = gui.add_slider("pixels", min=128, max=2048, step=64, initial_value=visitor.size)
    fov = gui.add_slider(
        "field of view", min=_NARROWEST, max=_WIDEST, step=0.5, initial_value=50.0, hint="degrees"
    )
    cameras = gui.add_checkbox("training cameras", initial_value=False)
    share = gui.add_slider(
        *("photo over", 0.0, 1.0, 0.05, 0.0),
        visible=bool(photos),
        hint="of the training camera where you stand: click on one",
    )
    reset = gui.add_button("reset view")
    still = gui.add_button("save PNG")
    if photos:
        first = photos.thumbnail(0, 400)
        if first is not None:
            visitor.panel_photo = gui.add_image(first, label="photo", visible=False)
    frusta: list[Any] = []
    places = visitor.hall.train.c2w[:, :, 3].numpy()
    scale = frustum_scale(visitor.hall.train)

    def show_cameras(_: Any = None) -> None:
        if cameras.value and not frusta:
            frusta.extend(add_frusta(visitor, visitor.hall.train, stand))
            add_thumbnails(visitor, frusta)
        hide_near(visitor.eye)

    def hide_near(eye: Eye) -> None:
        """A frustum in which the visitor stands would cover the view."""
        far = np.linalg.norm(places - np.asarray(eye.position), axis=1) > 1.5 * scale
        for frustum, visible in zip(frusta, far & cameras.value, strict=False):
            if frustum.visible != bool(visible):
                frustum.visible = bool(visible)

    def stand(number: int) -> None:
        visitor.stand(number)

    def set_kind(_: Any) -> None:
        visitor.kind = kind.value
        visitor.changed()

    def set_size(_: Any) -> None:
        visitor.size = size.value
        visitor.changed()

    def set_share(_: Any) -> None:
        visitor.photo_share = share.value
        visitor.changed()

    def set_fov(_: Any) -> None:
        if abs(math.degrees(visitor.client.camera.fov) - fov.value) > 0.3:
            visitor.client.camera.fov = math.radians(fov.value)
            visitor.changed()

    def follow(eye: Eye) -> None:
        hide_near(eye)
        degrees = round(2 * math.degrees(eye.fov)) / 2
        if abs(fov.value - degrees) > 0.3 and _NARROWEST <= degrees <= _WIDEST:
            fov.value = degrees

    def save(_: Any) -> None:
        view, longest = visitor.view(), visitor.size
        with contextlib.suppress(CancelledError):  # the page ends
            picture = visitor.hall.loop.do(lambda: visitor.render(view, longest)).result()
            content = png_bytes(picture)
            visitor.client.send_file_download("view.png", content, save_immediately=True)

    kind.on_update(set_kind)
    size.on_update(set_size)
    fov.on_update(set_fov)
    share.on_update(set_share)
    cameras.on_update(show_cameras)
    reset.on_click(lambda _: visitor.reset())
    still.on_click(save)
    visitor.moved.append(follow)


def frustum_scale(cameras: Cameras) -> float:
    """How long a camera is drawn: a share of what all of them take up."""
    places = cameras.c2w[:, :, 3]
    return 0.05 * float((places - places.mean(0)).norm(dim=-1).max().clamp_min(1e-3))


def add_frusta(visitor: Visitor, cameras: Cameras, clicked: Callable[[int], None]) -> list[Any]:
    """A frustum for each camera, which can be clicked on."""
    frusta, scale = [], frustum_scale(cameras)
    for number in range(len(cameras)):
        eye = eye_of(cameras, number)
        frustum = visitor.client.scene.add_camera_frustum(
            f"/cameras/{number}",
            eye.fov,
            eye.aspect,
            scale=scale,
            thickness=1.5,
            thickness_units="screen",
            variant="filled",  # lines alone are hard to hit
            wxyz=eye.wxyz,
            position=eye.position,
        )
        frustum.on_click(lambda _, number=number: clicked(number))
        frusta.append(frustum)
    return frusta


def add_thumbnails(visitor: Visitor, frusta: list[Any]) -> None:
    """Photos in some of the frusta, evenly spread."""
    count = min(_THUMBNAILS, len(frusta))
    for number in (i * len(frusta) // count for i in range(count)):
        thumbnail = visitor.hall.shown.photos.thumbnail(number, _THUMBNAIL_SIDE)
        if thumbnail is None:
            return
        frusta[number].image = thumbnail
