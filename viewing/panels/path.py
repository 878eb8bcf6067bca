"""The camera path: key frames, a preview, the file and the command that renders it."""

from __future__ import annotations

import shlex
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from errors import UserError
from paths.keyframes import KeyFrame, KeyPath, read_key_path, usual_size
from writing.files import write_bytes

from ..cameras import camera_of, eye_of, up_of
from ..shown import TrainedScene
from ..visitor import Visitor
from .look import frustum_scale

_NONE = "none"
_COLOUR, _CHOSEN = (255, 140, 0), (230, 0, 90)
_DRAWN = 240  # points of the path's line at most
_PREVIEW_FPS = 15.0
_LONGEST = 120.0  # seconds


class PathPanel:
    """Controls of one visitor's path."""

    def __init__(self, gui: Any, visitor: Visitor, shown: TrainedScene) -> None:
        self.visitor, self.shown = visitor, shown
        self.path = KeyPath()
        self.size = usual_size(shown.scene)
        self._playing = threading.Event()
        self._drawn: list[Any] = []
        self.number = gui.add_dropdown("key frame", (_NONE,), initial_value=_NONE)
        self.edit = gui.add_button_group("", ("add", "move here", "go to", "delete"))
        self.seconds = gui.add_number("seconds", initial_value=8.0, min=0.5, max=_LONGEST, step=0.5)
        self.loop = gui.add_checkbox("loop", initial_value=True, hint="comes back to its beginning")
        self.line = gui.add_checkbox("show path", initial_value=True)
        self.play = gui.add_button("preview")
        self.clear = gui.add_button("clear")
        self.name = gui.add_text("file", initial_value="path.json")
        self.save = gui.add_button("save", hint="in the folder that view.py runs in")
        self.load = gui.add_upload_button("load", mime_type="application/json")
        self.render = gui.add_button("render", hint="save it, and show the command that renders it")
        self.command = gui.add_markdown("")
        edits = {
            "add": self._add,
            "move here": self._move,
            "go to": self._go,
            "delete": self._delete,
        }
        self.edit.on_click(lambda _: edits[self.edit.value]())
        self.number.on_update(lambda _: self._draw())
        self.seconds.on_update(lambda _: self._set(replace(self.path, seconds=self.seconds.value)))
        self.loop.on_update(lambda _: self._set(replace(self.path, loop=self.loop.value)))
        self.line.on_update(lambda _: self._draw())
        self.play.on_click(lambda _: self._preview())
        self.clear.on_click(lambda _: self._set(replace(self.path, keys=())))
        self.save.on_click(lambda _: self.visitor.try_to(self._save))
        self.load.on_upload(lambda _: self.visitor.try_to(self._load))
        self.render.on_click(lambda _: self.visitor.try_to(self._show_command))

    @property
    def chosen(self) -> int | None:
        """The key frame that is chosen."""
        return None if self.number.value == _NONE else int(self.number.value) - 1

    def _here(self) -> KeyFrame:
        """A key frame at the present view."""
        eye = self.visitor.eye
        return KeyFrame(camera_of(eye, 100).c2w[0].double().numpy(), eye.fov)

    def _add(self) -> None:
        """After the chosen one."""
        at = len(self.path.keys) if self.chosen is None else self.chosen + 1
        self._set_keys([*self.path.keys[:at], self._here(), *self.path.keys[at:]], at)

    def _move(self) -> None:
        if self.chosen is not None:
            keys = list(self.path.keys)
            keys[self.chosen] = self._here()
            self._set_keys(keys, self.chosen)

    def _go(self) -> None:
        if self.chosen is not None:
            cameras = replace(self.path, keys=[self.path.keys[self.chosen]]).cameras(self.size)
            eye = eye_of(cameras, 0)
            self.visitor.look(eye, up_of(eye))

    def _delete(self) -> None:
        if self.chosen is not None:
            keys = list(self.path.keys)
            del keys[self.chosen]
            self._set_keys(keys, min(self.chosen, len(keys) - 1))

    def _set_keys(self, keys: list[KeyFrame], chosen: int) -> None:
        self._set(replace(self.path, keys=tuple(keys)), chosen)

    def _set(self, path: KeyPath, chosen: int | None = None) -> None:
        self._playing.clear()
        self.path = path
        count = len(path.keys)
        names = tuple(str(i + 1) for i in range(count)) or (_NONE,)
        if chosen is None:
            chosen = min(self.chosen or 0, count - 1)
        self.number.options = names
        self.number.value = names[max(0, chosen)]
        self.command.content = ""
        self._draw()

    def _draw(self) -> None:
        """The path's line, and its key frames."""
        for node in self._drawn:
            node.remove()
        self._drawn = []
        if not self.path.keys or not self.line.value:
            return
        scene = self.visitor.client.scene
        cameras = self.path.cameras(self.size)
        points = cameras.c2w[:: max(1, len(cameras) // _DRAWN), :, 3].numpy()
        if self.path.loop:
            points = np.concatenate([points, points[:1]])
        if len(points) > 1:
            lines = np.stack([points[:-1], points[1:]], axis=1)
            self._drawn.append(
                scene.add_line_segments(
                    "/path/line", lines, _COLOUR, thickness=3.0, thickness_units="screen"
                )
            )
        scale = 1.2 * frustum_scale(self.visitor.hall.train)
        for number, index in enumerate(self.path.key_indices):
            eye = eye_of(cameras, index)
            self._drawn.append(
                scene.add_camera_frustum(
                    f"/path/key_{number + 1}",
                    *(eye.fov, eye.aspect),
                    scale=scale,
                    color=_CHOSEN if number == self.chosen else _COLOUR,
                    thickness=2.0,
                    thickness_units="screen",
                    wxyz=eye.wxyz,
                    position=eye.position,
                )
            )

    def _preview(self) -> None:
        if self._playing.is_set():
            self._playing.clear()
            return
        if len(self.path.keys) < 2:
            self.visitor.say("No path yet", "Add two key frames or more.")
            return
        self._playing.set()
        self.play.label = "stop"
        threading.Thread(target=self._fly, name="preview", daemon=True).start()

    def _fly(self) -> None:
        """Once along the path, in its own time: frames that take too long are left out."""
        cameras = self.path.cameras(self.size)
        start = time.monotonic()
        for node in self._drawn:
            node.visible = False
        while self._playing.is_set() and self.visitor.is_here():
            frame = int((time.monotonic() - start) * self.path.fps)
            if frame >= len(cameras):
                break
            eye = eye_of(cameras, frame)
            self.visitor.look(eye, up_of(eye))
            time.sleep(1 / _PREVIEW_FPS)
        self._playing.clear()
        self.play.label = "preview"
        for node in self._drawn:
            node.visible = True

    def _save(self) -> Path:
        file = self._file()
        if not self.path.keys:
            raise UserError("there are no key frames to save")
        write_bytes(file, self.path.to_json(self.shown.scene, self.size).encode())
        self.visitor.say("Saved", str(file.resolve()))
        return file

    def _show_command(self) -> None:
        command = render_command(self.shown.file, self._save())
        print(command, flush=True)
        self.command.content = f"`{command}`"
        if self.visitor.crop != self.shown.saved_crop:
            self.visitor.say("Mind the crop", "eval.py knows it once it is saved, too.")

    def _file(self) -> Path:
        """The file that is named, in the folder that the command runs in."""
        file = Path(self.name.value)
        if file.name != self.name.value or file.suffix != ".json" or file.name.startswith("."):
            raise UserError(f"{self.name.value}: a path's name ends in .json and has no folder")
        if file.exists():
            read_key_path(file, self.shown.scene)  # it replaces a path alone
        return file

    def _load(self) -> None:
        upload = self.load.value
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "path.json"
            file.write_bytes(upload.content)
            try:
                path = read_key_path(file, self.shown.scene)
            except UserError as error:
                raise UserError(str(error).replace(str(file), upload.name)) from error
        self.path = path
        self.seconds.value, self.loop.value = path.seconds, path.loop
        self._set(path, 0)


def render_command(checkpoint: Path, file: Path) -> str:
    """The command that renders a path."""
    words = ["python", "eval.py", "--ckpt_path", str(checkpoint), "--split", "path"]
    return shlex.join([*words, "--path", str(file)])
