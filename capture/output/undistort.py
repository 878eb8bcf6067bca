"""Photos without lens distortion: every camera becomes a pinhole with its axis in the middle.

LLFF's poses_bounds.npy knows one focal length and no principal point, so that square pixels and
a centred axis are what every reader of the layout can take.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import pycolmap
from jaxtyping import Float

from errors import UserError


@dataclass(frozen=True)
class Pinhole:
    """A camera without distortion: focal length, width and height in pixels."""

    focal: float
    width: int
    height: int

    def project(self, normalized: Float[np.ndarray, "point 2"]) -> Float[np.ndarray, "point 2"]:
        """Pixels (centres at +0.5) of points (x / z, y / z)."""
        return normalized * self.focal + np.array([self.width / 2, self.height / 2])


def pinhole_of(camera: pycolmap.Camera) -> Pinhole:
    """The pinhole camera whose photo is the largest that shows no unknown pixel."""
    if camera.is_undistorted():
        flat = camera
    else:
        try:
            flat = pycolmap.undistort_camera(pycolmap.UndistortCameraOptions(), camera)
        except Exception as error:
            raise UserError(f"a {camera.model_name} camera cannot be undistorted") from error
    fx, fy = flat.focal_length_x, flat.focal_length_y
    if not (0 < fx < np.inf and 0 < fy < np.inf and 0.1 < fx / fy < 10):
        raise UserError(
            f"a {camera.model_name} camera has the focal lengths {fx:g} and {fy:g}: a bad solve"
        )
    cx, cy = flat.principal_point_x, flat.principal_point_y
    # The half sizes in units of the focal length; the nearer side counts on both.
    half_x = min(cx, flat.width - cx) / fx
    half_y = min(cy, flat.height - cy) / fy
    focal = max(fx, fy)
    width, height = int(2 * half_x * focal + 1e-6), int(2 * half_y * focal + 1e-6)
    if width < 8 or height < 8:
        raise UserError(f"a {camera.model_name} camera looks aside of its own photo: a bad solve")
    return Pinhole(focal, width, height)


class Undistorter:
    """Warps photos and points of one camera to its pinhole."""

    def __init__(self, camera: pycolmap.Camera) -> None:
        self.camera = camera
        self.pinhole = pinhole_of(camera)

    @cached_property
    def map(self) -> Float[np.ndarray, "height width 2"]:
        """Where in the photo each pixel of the pinhole lies, in OpenCV's convention.

        Large, and so made when it is first needed; `del` frees it.
        """
        pinhole = self.pinhole
        u, v = np.meshgrid(np.arange(pinhole.width) + 0.5, np.arange(pinhole.height) + 0.5)
        x = (u - pinhole.width / 2) / pinhole.focal
        y = (v - pinhole.height / 2) / pinhole.focal
        rays = np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3)
        source = np.asarray(self.camera.img_from_cam(rays)).reshape(
            pinhole.height, pinhole.width, 2
        )
        return (source - 0.5).astype(np.float32)  # OpenCV counts pixel centres from 0

    def image(self, image: np.ndarray) -> np.ndarray:
        """A photo or mask (height, width, ...) of the camera's size, as the pinhole sees it."""
        if image.shape[1::-1] == (self.pinhole.width, self.pinhole.height) and self._same():
            return image
        x, y = self.map[..., 0], self.map[..., 1]
        return cv2.remap(image, x, y, cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE)

    def points(self, xy: Float[np.ndarray, "point 2"]) -> Float[np.ndarray, "point 2"]:
        """Pixels of the photo to pixels of the pinhole's."""
        return self.pinhole.project(np.asarray(self.camera.cam_from_img(xy)).reshape(-1, 2))

    def _same(self) -> bool:
        ends = self.map[[0, -1], [0, -1]]
        corners = np.array([[0, 0], [self.pinhole.width - 1, self.pinhole.height - 1]])
        return bool(self.camera.is_undistorted() and np.abs(ends - corners).max() < 1e-3)


def flatten_model(
    model: pycolmap.Reconstruction, undistorters: dict[int, Undistorter], names: dict[str, str]
) -> None:
    """Give a model's cameras their pinholes, in place, and its images their new names."""
    for image in model.images.values():
        if image.num_points2D():
            xy = np.array([point.xy for point in image.points2D])
            flat = undistorters[image.camera_id].points(xy)
            for point, position in zip(image.points2D, flat, strict=True):
                point.xy = position
        image.name = names.get(image.name, image.name)
    for camera_id, undistorter in undistorters.items():
        camera, pinhole = model.cameras[camera_id], undistorter.pinhole
        camera.model = pycolmap.CameraModelId.PINHOLE
        camera.width, camera.height = pinhole.width, pinhole.height
        camera.params = [pinhole.focal, pinhole.focal, pinhole.width / 2, pinhole.height / 2]
