"""Cameras and rays in the browser: a click on an image lights up the ray of the pixel."""

from __future__ import annotations

import time
from functools import partial

import cv2
import numpy as np
import torch
import viser
from jaxtyping import Float

from datasets.loaders.ray_dataset import RaysDataset
from datasets.scene import Scene
from errors import UserError
from geometry.cameras import Cameras, camera_to_pixel, inverse_transform
from learn.rayplot.draw import ray_colours
from learn.rayplot.sample import draw_through, frustum, visible_range

_OPENGL_TO_OPENCV = np.diag([1.0, -1.0, -1.0])
_KEPT = 12  # rays that stay lit


def serve(scene: Scene, split: str, dataset: RaysDataset, n_samples: int, port: int) -> None:
    """Show the scene at http://127.0.0.1:port until interrupted."""
    server = start(scene, split, dataset, n_samples, port)
    print(f"open http://127.0.0.1:{server.get_port()} and click on an image; Ctrl-C ends")
    try:
        while True:
            time.sleep(1)
    finally:
        server.stop()


def start(
    scene: Scene, split: str, dataset: RaysDataset, n_samples: int, port: int
) -> viser.ViserServer:
    """Start the server, which nothing but this machine can reach."""
    cameras = scene.cameras[scene.splits[split]]
    try:
        server = viser.ViserServer(host="127.0.0.1", port=port, verbose=False)
    except OSError as error:
        raise UserError(f"--port {port}: {error.strerror}; name another one") from error
    centres = cameras.c2w[:, :, 3].numpy()
    server.scene.set_up_direction(scene.up)
    near, far = visible_range(scene)
    target = centres.mean(0) - cameras.c2w[:, :, 2].numpy().mean(0) * 0.5 * (near + far)
    spread = max(float(np.linalg.norm(centres - target, axis=1).max()), 0.3 * far)
    server.initial_camera.position = tuple(target + 2 * spread * _aside(scene, target, centres))
    server.initial_camera.look_at = tuple(target)
    server.scene.add_frame("/world", axes_length=0.25 * spread, axes_radius=0.006 * spread)
    _Picker(server, cameras, dataset, (near, far), n_samples, 0.16 * spread)
    return server


def pixel_under(
    cameras: Cameras, view: int, origin: Float[np.ndarray, "3"], direction: Float[np.ndarray, "3"],
    depth: float,
) -> tuple[int, int] | None:  # fmt: skip
    """The pixel (x, y) where a line meets the image plane of a view at `depth`; None beside it."""
    c2w = cameras.c2w[view].double().numpy()
    back, centre = c2w[:, 2], c2w[:, 3]
    t = ((centre - depth * back - origin) @ back) / (direction @ back)
    place = torch.from_numpy(origin + t * direction)
    uv, _ = camera_to_pixel(
        cameras.intrinsics[view].double(), inverse_transform(cameras.c2w[view].double(), place)
    )
    x, y = (int(np.floor(a)) for a in uv.tolist())
    width, height = cameras.size[view].tolist()
    return (x, y) if 0 <= x < width and 0 <= y < height else None


class _Picker:
    """The images in space, the rays that are lit, and the panel that tells of the last one."""

    def __init__(
        self,
        server: viser.ViserServer,
        cameras: Cameras,
        dataset: RaysDataset,
        bounds: tuple[float, float],
        n_samples: int,
        depth: float,
    ) -> None:
        self.server, self.cameras, self.dataset = server, cameras, dataset
        self.bounds, self.n_samples, self.depth = bounds, n_samples, depth
        self.colours = (255 * ray_colours(10)[:, :3]).astype(np.uint8)
        self.count = 0
        self._show_cameras()
        server.gui.add_markdown("Click on an image, or choose a pixel here.")
        self.view = server.gui.add_slider("view", 0, len(cameras) - 1, 1, 0)
        self.u = server.gui.add_slider("u", 0.0, 1.0, 0.001, 0.5)
        self.v = server.gui.add_slider("v", 0.0, 1.0, 0.001, 0.5)
        for control in (self.view, self.u, self.v):
            control.on_update(lambda event: self._from_panel() if event.client else None)
        self.told = server.gui.add_markdown("")
        self.photo = server.gui.add_image(dataset.photos.image(0).numpy(), label="its photo")
        self._from_panel()

    def _show_cameras(self) -> None:
        corners = frustum(self.cameras, self.depth)
        centres = self.cameras.c2w[:, :, 3].numpy()
        rim = corners[:, [0, 0, 1, 1], [0, 1, 1, 0]]  # (camera, 4, 3)
        start = np.concatenate([np.repeat(centres[:, None], 4, axis=1), rim], axis=1)
        end = np.concatenate([rim, np.roll(rim, -1, axis=1)], axis=1)
        self.server.scene.add_line_segments(
            "/frusta",
            np.stack([start, end], axis=2).reshape(-1, 2, 3),
            colors=(60, 60, 60),
            thickness=1.5,
            thickness_units="screen",
        )
        for view, plane in enumerate(corners):
            photo = self.dataset.photos.image(view).numpy()
            factor = min(1.0, 200 / max(photo.shape[:2]))
            small = cv2.resize(photo, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
            rotation = self.cameras.c2w[view, :, :3].double().numpy() @ _OPENGL_TO_OPENCV
            image = self.server.scene.add_image(
                f"/views/{view}",
                small,
                float(np.linalg.norm(plane[0, 1] - plane[0, 0])),
                float(np.linalg.norm(plane[1, 0] - plane[0, 0])),
                wxyz=viser.transforms.SO3.from_matrix(rotation).wxyz,
                position=plane.reshape(-1, 3).mean(0),
            )
            image.on_click(partial(self._clicked, view))

    def _clicked(self, view: int, event: viser.SceneNodePointerEvent) -> None:
        pixel = pixel_under(
            self.cameras,
            view,
            np.array(event.ray_origin),
            np.array(event.ray_direction),
            self.depth,
        )
        if pixel is not None:
            self.light(view, *pixel)

    def _from_panel(self) -> None:
        view = int(self.view.value)
        width, height = self.cameras.size[view].tolist()
        x, y = int(self.u.value * (width - 1)), int(self.v.value * (height - 1))
        self.light(view, x, y)

    def light(self, view: int, x: int, y: int) -> None:
        """Show the ray of a pixel, and tell of it."""
        width = int(self.cameras.size[view, 0])
        index = self.dataset.photos.offsets[view] + y * width + x
        rays = draw_through(self.dataset, index[None], self.bounds, self.n_samples, perturb=False)
        colour = self.colours[self.count % len(self.colours)]
        name = f"/rays/{self.count % _KEPT}"
        self.count += 1
        line = np.stack([rays.origins, rays.points[:, -1]], axis=1)
        self.server.scene.add_line_segments(
            f"{name}/line", line, colors=tuple(colour), thickness=3, thickness_units="screen"
        )
        self.server.scene.add_point_cloud(
            f"{name}/points",
            rays.points[0],
            colors=tuple(colour),
            point_size=0.05 * self.depth,
            point_shape="circle",
        )
        photo = self.dataset.photos.image(view).numpy().copy()
        radius = max(3, round(max(photo.shape[:2]) / 60))
        mark = tuple(int(c) for c in colour)
        cv2.circle(photo, (x, y), radius + 1, (255, 255, 255), max(2, radius // 2))
        cv2.circle(photo, (x, y), radius, mark, max(1, radius // 3))
        self.photo.image = photo
        o, d = rays.origins[0], rays.directions[0]
        self.told.content = (
            f"**view {view}, pixel u = {x + 0.5}, v = {y + 0.5}**\n\n"
            f"origin {_numbers(o)}  \ndirection {_numbers(d)}  \n"
            f"RGB {self.dataset.photos.pixels[index].tolist()}"
        )


def _numbers(vector: Float[np.ndarray, "3"]) -> str:
    return "(" + ", ".join(f"{x:.3f}" for x in vector) + ")"


def _aside(scene: Scene, target: np.ndarray, centres: np.ndarray) -> np.ndarray:
    up = np.array(scene.up)
    behind = centres.mean(0) - target
    behind = behind - (behind @ up) * up
    if np.linalg.norm(behind) < 1e-3:
        behind = np.cross(up, [1.0, 0.3, 0.2])
    behind = behind / np.linalg.norm(behind)
    direction = behind + 0.7 * np.cross(up, behind) + 0.6 * up
    return direction / np.linalg.norm(direction)
