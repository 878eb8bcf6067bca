"""The page: viser's server, a panel of controls for each visitor, the training cameras."""

from __future__ import annotations

import contextlib
import io
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import viser

from api import Model
from errors import UserError, explain

from .cameras import Eye, axis_of, camera_of, eye_of
from .loop import RenderLoop
from .pictures import KINDS, picture_of, png_bytes


@dataclass(frozen=True)
class View:
    """What a visitor wants to see: from where, and which of KINDS."""

    eye: Eye
    kind: str


class Page:
    """Serves a trained scene until it is stopped.

    Args:
        host: the address to listen at.
        port: the port; the next free one where it is taken.
        size: pixels of the longer side of a still picture, to begin with.

    Raises UserError where it cannot listen there.
    """

    def __init__(self, model: Model, host: str, port: int, size: int) -> None:
        check_host(host)
        self.model = model
        self.size = size
        self.rendering = threading.Lock()  # a saved picture waits for the one that is begun
        self.clients: dict[int, Any] = {}
        self.train = model.scene.cameras[model.scene.splits["train"]]
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # its banner
                self.server = viser.ViserServer(host=host, port=port, verbose=False)
        except (OSError, RuntimeError) as error:
            raise UserError(f"cannot listen at {host}:{port} ({error})") from error
        # A shared page would leave this machine.
        self.server.gui.configure_theme(show_share_button=False, show_logo=False)
        self.server.scene.set_up_direction(model.scene.up)
        self.loop: RenderLoop[View] = RenderLoop(self._show, _report)
        self.server.on_client_connect(self._enter)
        self.server.on_client_disconnect(self._leave)

    @property
    def port(self) -> int:
        return self.server.get_port()

    def stop(self) -> None:
        self.loop.stop()
        self.server.stop()

    def _show(self, visitor: int, view: View, longest: int) -> None:
        client = self.clients.get(visitor)
        if client is not None:
            picture = self._render(view, longest)
            client.scene.set_background_image(picture, format="jpeg", jpeg_quality=90)

    def _render(self, view: View, longest: int) -> np.ndarray:
        camera = camera_of(view.eye, longest)
        with self.rendering:
            image = self.model.render(camera)
        return picture_of(image, camera, view.kind)

    def _leave(self, client: Any) -> None:
        self.clients.pop(client.client_id, None)
        self.loop.forget(client.client_id)

    def _enter(self, client: Any) -> None:
        """A visitor's own controls, camera and frusta."""
        gui, visitor = client.gui, client.client_id
        self.clients[visitor] = client
        kind = gui.add_dropdown("show", KINDS, initial_value=KINDS[0])
        size = gui.add_slider("pixels", min=128, max=2048, step=64, initial_value=self.size)
        cameras = gui.add_checkbox("training cameras", initial_value=False)
        reset = gui.add_button("reset view")
        still = gui.add_button("save PNG")
        frusta: list[Any] = []

        def view() -> View:
            camera = client.camera
            eye = Eye(tuple(camera.wxyz), tuple(camera.position), camera.fov, camera.aspect)
            return View(eye, kind.value)

        def changed(_: Any) -> None:
            self.loop.want(visitor, view(), size.value)

        def show_cameras(_: Any) -> None:
            if cameras.value and not frusta:
                frusta.extend(self._add_frusta(client, stand_at))
            for frustum in frusta:
                frustum.visible = cameras.value

        def stand_at(index: int) -> None:
            cameras.value = False  # its own frustum would cover the view
            show_cameras(None)
            self.stand(client, index)

        def save(_: Any) -> None:
            content = png_bytes(self._render(view(), size.value))
            client.send_file_download("view.png", content, save_immediately=True)

        kind.on_update(changed)
        size.on_update(changed)
        cameras.on_update(show_cameras)
        reset.on_click(lambda _: self.stand(client, 0))
        still.on_click(save)
        self.stand(client, 0)
        client.camera.on_update(changed)
        changed(None)

    def _add_frusta(self, client: Any, clicked: Callable[[int], None]) -> list[Any]:
        positions = self.train.c2w[:, :, 3]
        scale = 0.05 * float((positions - positions.mean(0)).norm(dim=-1).max().clamp_min(1e-3))
        frusta = []
        for index in range(len(self.train)):
            eye = eye_of(self.train, index)
            frustum = client.scene.add_camera_frustum(
                f"/cameras/{index}",
                eye.fov,
                eye.aspect,
                scale=scale,
                thickness=1.5,
                thickness_units="screen",
                variant="filled",  # lines alone are hard to hit
                wxyz=eye.wxyz,
                position=eye.position,
            )
            frustum.on_click(lambda _, index=index: clicked(index))
            frusta.append(frustum)
        return frusta

    def stand(self, client: Any, index: int) -> None:
        """Put a visitor where a training camera stands, turning about what it looks at."""
        eye = eye_of(self.train, index)
        axis, position = axis_of(eye), np.asarray(eye.position)
        distance = 1.0
        region = self.model.scene.region
        if region is not None and not self.model.scene.forward_facing:
            distance = max(0.1, float(axis @ (np.asarray(region.center) - position)))
        client.camera.up_direction = self.model.scene.up
        client.camera.position = position
        client.camera.look_at = position + distance * axis
        client.camera.fov = eye.fov


def check_host(host: str) -> None:
    """Raises UserError for an address that is not this machine's.

    viser would try one port after another there, without end.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as trial:
            trial.bind(address)
    except (OSError, UnicodeError) as error:
        raise UserError(f"--host {host}: not an address of this machine ({error})") from error


def _report(error: Exception) -> None:
    print(f"a picture failed: {explain(error) or error}", flush=True)
