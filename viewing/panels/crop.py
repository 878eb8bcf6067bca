"""The crop box: set it, see its effect, save it into the checkpoint."""

from __future__ import annotations

from typing import Any

import numpy as np
from viser.transforms import SO3

from geometry.crop import CropBox

from ..boxes import part_of, upright_box, vector
from ..shown import TrainedScene
from ..visitor import Visitor

_SIDES, _BEFORE_CAMERAS = ("first side", "second side", "height"), ("width", "height", "depth")
_REACH, _STEP = 3.0, 0.02
# Pairs of the eight corners, by their signs, that differ in one of them.
_EDGES = [(i, i | bit) for i in range(8) for bit in (1, 2, 4) if not i & bit]
_COLOUR = (255, 140, 0)


class CropPanel:
    """Controls of one visitor's box."""

    def __init__(self, gui: Any, visitor: Visitor, shown: TrainedScene) -> None:
        self.visitor, self.shown = visitor, shown
        self.box = shown.saved_crop or upright_box(shown.scene)
        on = shown.saved_crop is not None
        self.on = gui.add_checkbox(
            "crop", initial_value=on, hint="show the inside of the box alone"
        )
        self.edges = gui.add_checkbox("edges", initial_value=True)
        self.handles = gui.add_checkbox(
            "handles", initial_value=False, hint="arrows move the box, arcs turn it"
        )
        self.ranges = [
            gui.add_multi_slider(*(label, -_REACH, _REACH, _STEP, (-1.0, 1.0)), min_range=2 * _STEP)
            for label in (_BEFORE_CAMERAS if shown.scene.forward_facing else _SIDES)
        ]
        self.again = gui.add_button("whole box again")
        self.save = gui.add_button(
            "save crop into the checkpoint", hint="eval.py and export.py then show this alone"
        )
        self.gizmo: Any = None
        self._drawn: Any = None
        self._edges_of: CropBox | None = None
        self.on.on_update(self._update)
        self.edges.on_update(self._update)
        self.handles.on_update(self._show_handles)
        for slider in self.ranges:
            slider.on_update(self._update)
        self.again.on_click(self._reset)
        self.save.on_click(lambda _: visitor.try_to(self._save))
        if on:
            self._draw()

    @property
    def crop(self) -> CropBox:
        """The box that the sliders and handles make."""
        low_high = [slider.value for slider in self.ranges]
        return part_of(self.box, tuple((low, high) for low, high in low_high))

    def _update(self, _: Any = None) -> None:
        self._draw()
        crop = self.crop if self.on.value else None
        if crop != self.visitor.crop:
            self.visitor.crop = crop
            self.visitor.changed()

    def _draw(self) -> None:
        crop = self.crop if self.on.value and self.edges.value else None
        if crop == self._edges_of:
            return
        self._edges_of = crop
        if self._drawn is not None:
            self._drawn.remove()
            self._drawn = None
        if crop is not None:
            corners = crop.corners()
            lines = np.array([[corners[i], corners[j]] for i, j in _EDGES], dtype=np.float32)
            self._drawn = self.visitor.client.scene.add_line_segments(
                "/crop/edges", lines, _COLOUR, thickness=2.0, thickness_units="screen"
            )

    def _show_handles(self, _: Any = None) -> None:
        if self.gizmo is not None:
            self.gizmo.remove()
            self.gizmo = None
        if self.handles.value:
            # Columns are the box's sides: right-handed, as `upright_box` makes them.
            rotation = SO3.from_matrix(np.asarray(self.box.axes).T)
            self.gizmo = self.visitor.client.scene.add_transform_controls(
                "/crop/handles",
                scale=0.7 * max(self.box.half),
                wxyz=rotation.wxyz,
                position=self.box.center,
                depth_test=False,
            )
            self.gizmo.on_update(self._moved)

    def _moved(self, _: Any) -> None:
        axes = np.asarray(SO3(np.asarray(self.gizmo.wxyz)).as_matrix()).T
        x, y, z = (vector(axis) for axis in axes)
        self.box = CropBox(vector(np.asarray(self.gizmo.position)), self.box.half, (x, y, z))
        self._update()

    def _reset(self, _: Any) -> None:
        self.box = upright_box(self.shown.scene)
        for slider in self.ranges:
            slider.value = (-1.0, 1.0)
        self._show_handles()
        self._update()

    def _save(self) -> None:
        crop = self.crop if self.on.value else None
        self.shown.save_crop(crop)
        what = "shows all of the scene" if crop is None else "shows what is in this box"
        self.visitor.say("Saved", f"{self.shown.file} {what}: in eval.py and export.py too")
