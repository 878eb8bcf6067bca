"""The page: viser's server, and the browsers that look at it."""

from __future__ import annotations

import contextlib
import io
import socket
from typing import Any

import viser

from errors import UserError, explain

from .loop import RenderLoop
from .panels.crop import CropPanel
from .panels.look import add_look
from .panels.path import PathPanel
from .panels.training import TrainingPanel
from .shown import Shown, TrainedScene
from .visitor import View, Visitor


class Page:
    """Serves a scene until it is stopped.

    Whoever makes it has it rendered: `loop.start()`, or `loop.step()` again and again.

    Args:
        host: the address to listen at.
        port: the port; the next free one where it is taken.
        size: pixels of the longer side of a still picture, to begin with.

    Raises UserError where it cannot listen there.
    """

    def __init__(self, shown: Shown, host: str, port: int, size: int) -> None:
        check_host(host)
        self.shown, self.size = shown, size
        self.visitors: dict[int, Visitor] = {}
        self.curves: dict[int, TrainingPanel] = {}
        self.train = shown.scene.cameras[shown.scene.splits["train"]]
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # its banner
                self.server = viser.ViserServer(host=host, port=port, verbose=False)
        except (OSError, RuntimeError) as error:
            raise UserError(f"cannot listen at {host}:{port} ({error})") from error
        # A shared page would leave this machine.
        self.server.gui.configure_theme(show_share_button=False, show_logo=False)
        self.server.scene.set_up_direction(shown.scene.up)
        self.loop: RenderLoop[View] = RenderLoop(self._show, _report)
        self.server.on_client_connect(self._enter)
        self.server.on_client_disconnect(self._leave)

    @property
    def port(self) -> int:
        return self.server.get_port()

    def stop(self) -> None:
        self.loop.stop()
        self.server.stop()

    def _show(self, number: int, view: View, longest: int) -> None:
        visitor = self.visitors.get(number)
        if visitor is not None:
            visitor.show(visitor.render(view, longest))

    def _leave(self, client: Any) -> None:
        self.visitors.pop(client.client_id, None)
        self.curves.pop(client.client_id, None)
        self.loop.forget(client.client_id)

    def _enter(self, client: Any) -> None:
        """A visitor's own controls and camera."""
        visitor = Visitor(client, self)
        self.visitors[visitor.number] = visitor
        tabs = client.gui.add_tab_group()
        with tabs.add_tab("view"):
            add_look(client.gui, visitor)
        if isinstance(self.shown, TrainedScene):
            with tabs.add_tab("crop"):
                CropPanel(client.gui, visitor, self.shown)
            with tabs.add_tab("path"):
                PathPanel(client.gui, visitor, self.shown)
        else:
            with tabs.add_tab("training"):
                self.curves[visitor.number] = TrainingPanel(client.gui)
        visitor.reset()
        client.camera.on_update(visitor.changed)


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
