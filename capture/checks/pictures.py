"""Pictures to judge a capture by: the cameras in space, and all photos with their verdicts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from capture.input.photos import save
from capture.output.undistort import Pinhole
from geometry.poses import Poses

_SIDE = 900  # pixels of one view
_CELL = (260, 250)  # of the contact sheet
_GOOD, _WARN, _BAD = (70, 200, 110), (240, 180, 60), (235, 80, 80)


def draw_cameras(
    path: Path,
    poses: Poses,
    pinholes: Sequence[Pinhole],
    thumbnails: Sequence[UInt8[np.ndarray, "height width 3"]],
    points: Float[np.ndarray, "point 3"],
    colors: UInt8[np.ndarray, "point 3"],
) -> None:
    """The cameras' frusta with their photos, and the sparse points, from above and from a side.

    Args:
        path: the PNG to write.
        poses: camera-to-world in scene coordinates (+z up), OpenGL axes.
        pinholes, thumbnails: of the cameras.
        points, colors: the sparse points, RGB.
    """
    centres = poses[:, :, 3]
    reach = np.linalg.norm(centres, axis=1).max() * 1.5
    near = np.linalg.norm(points, axis=1) < 2.5 * reach
    points, colors = points[near], colors[near]
    size = _frustum_size(centres)
    corners = np.stack(
        [_frustum(pose, pinhole, size) for pose, pinhole in zip(poses, pinholes, strict=True)]
    )
    views = []
    for label, elevation, azimuth in (("from above", 80, 0), ("from the side", 15, 35)):
        rotation = _view(math.radians(elevation), math.radians(azimuth))
        views.append(_draw_view(rotation, label, centres, corners, thumbnails, points, colors))
    gap = np.full((_SIDE, 8, 3), 255, np.uint8)
    save(Image.fromarray(np.concatenate([views[0], gap, views[1]], axis=1)), path)


def _frustum_size(centres: Float[np.ndarray, "camera 3"]) -> float:
    """A typical distance between neighbours, within bounds beside the distance to the centre."""
    distance = np.linalg.norm(centres[:, None] - centres[None], axis=-1)
    np.fill_diagonal(distance, np.inf)
    reach = float(np.linalg.norm(centres, axis=1).mean())
    return float(np.clip(np.median(distance.min(axis=1)), 0.12 * reach, 0.22 * reach))


def _frustum(pose: np.ndarray, pinhole: Pinhole, size: float) -> Float[np.ndarray, "4 3"]:
    """Corners of the photo, `size` wide or high, in front of the camera."""
    long_side = max(pinhole.width, pinhole.height)
    x, y = 0.5 * pinhole.width / long_side * size, 0.5 * pinhole.height / long_side * size
    depth = pinhole.focal / long_side * size
    local = np.array([[-x, y, -depth], [x, y, -depth], [x, -y, -depth], [-x, -y, -depth]])
    return local @ pose[:, :3].T + pose[:, 3]


def _view(elevation: float, azimuth: float) -> Float[np.ndarray, "3 3"]:
    """Rows right, down, away of an orthographic view of a world with +z up."""
    right = np.array([math.cos(azimuth), math.sin(azimuth), 0.0])
    ahead = np.array([-math.sin(azimuth), math.cos(azimuth), 0.0])
    away = math.cos(elevation) * ahead - math.sin(elevation) * np.array([0.0, 0.0, 1.0])
    return np.stack([right, np.cross(away, right), away])


def _draw_view(
    rotation: np.ndarray,
    label: str,
    centres: np.ndarray,
    corners: np.ndarray,
    thumbnails: Sequence[np.ndarray],
    points: np.ndarray,
    colors: np.ndarray,
) -> UInt8[np.ndarray, "height width 3"]:
    shown = np.concatenate([centres, corners.reshape(-1, 3)]) @ rotation.T
    if len(points):
        # Stray points must not shrink the picture.
        flat = points @ rotation.T
        shown = np.concatenate([shown, np.percentile(flat, [20, 80], axis=0), np.zeros((1, 3))])
    low, high = shown[:, :2].min(0), shown[:, :2].max(0)
    scale = 0.9 * _SIDE / max((high - low).max(), 1e-9)
    middle = (low + high) / 2

    def project(xyz: np.ndarray) -> np.ndarray:
        return ((xyz @ rotation.T)[..., :2] - middle) * scale + _SIDE / 2

    canvas = np.full((_SIDE, _SIDE, 3), 24, np.uint8)
    for (u, v), color in zip(project(points), colors, strict=True):
        if 0 <= u < _SIDE and 0 <= v < _SIDE:
            cv2.circle(canvas, (int(u), int(v)), 1, color.tolist(), -1, cv2.LINE_AA)
    axes = project(np.concatenate([np.zeros((1, 3)), 0.25 * np.eye(3)]))
    axis_colors = ((255, 80, 80), (80, 220, 80), (90, 140, 255))
    for end, color in zip(axes[1:], axis_colors, strict=True):
        _line(canvas, axes[0], end, color, 2)
    for i in np.argsort(-(centres @ rotation[2])):
        quad, eye = project(corners[i]), project(centres[i])
        _paste(canvas, thumbnails[i], quad)
        for corner, following in zip(quad, np.roll(quad, -1, axis=0), strict=True):
            _line(canvas, corner, following, (250, 200, 60))
            _line(canvas, eye, corner, (250, 200, 60))
    picture = Image.fromarray(canvas)
    ImageDraw.Draw(picture).text((14, 10), label, (230, 230, 230), _font(20))
    return np.asarray(picture)


def _paste(canvas: np.ndarray, photo: np.ndarray, quad: np.ndarray) -> None:
    """Draw a photo into a parallelogram (an orthographic view of it is affine)."""
    height, width = photo.shape[:2]
    source = np.array([[0, 0], [width, 0], [width, height]], np.float32)
    matrix = cv2.getAffineTransform(source, quad[:3].astype(np.float32))
    if abs(np.linalg.det(matrix[:, :2])) < 1e-3:
        return  # seen edge-on
    warped = cv2.warpAffine(photo, matrix, (_SIDE, _SIDE), flags=cv2.INTER_AREA)
    inside = np.zeros((_SIDE, _SIDE), np.uint8)
    cv2.fillConvexPoly(inside, np.round(quad).astype(np.int32), 255)
    canvas[inside > 0] = warped[inside > 0]


def _line(
    canvas: np.ndarray, start: np.ndarray, end: np.ndarray, color: tuple[int, ...], width: int = 1
) -> None:
    first, second = (tuple(int(x) for x in np.round(p)) for p in (start, end))
    cv2.line(canvas, first, second, color, width, cv2.LINE_AA)


@dataclass(frozen=True)
class Cell:
    """One photo of the contact sheet."""

    title: str
    photo: UInt8[np.ndarray, "height width 3"] | None
    verdict: str
    place: str
    level: int  # 0 good, 1 with a flaw, 2 lost


def draw_contact_sheet(path: Path, title: str, cells: Sequence[Cell]) -> None:
    """All photos, each with its verdict and its place in the scene."""
    columns = min(6, max(1, math.ceil(math.sqrt(len(cells) * 1.4))))
    rows = -(-len(cells) // columns)
    width, height = _CELL
    sheet = Image.new("RGB", (columns * width + 20, rows * height + 64), (24, 24, 24))
    draw = ImageDraw.Draw(sheet)
    draw.text((16, 14), title, (240, 240, 240), _font(20))
    for i, cell in enumerate(cells):
        x, y = 10 + i % columns * width, 54 + i // columns * height
        color = (_GOOD, _WARN, _BAD)[cell.level]
        if cell.photo is not None:
            photo = Image.fromarray(cell.photo)
            photo.thumbnail((width - 16, height - 80))
            left = x + (width - photo.width) // 2
            sheet.paste(photo, (left, y + 6))
            draw.rectangle(
                (left - 2, y + 4, left + photo.width + 1, y + 7 + photo.height),
                outline=color,
                width=2,
            )
        lines = [
            (cell.title, (230, 230, 230)),
            (cell.verdict, color),
            (cell.place, (160, 160, 160)),
        ]
        for row, (text, shade) in enumerate(lines):
            draw.text(
                (x + 8, y + height - 66 + 19 * row), _fit(draw, text, width - 16), shade, _font(14)
            )
    save(sheet, path)


def _fit(draw: ImageDraw.ImageDraw, text: str, width: int) -> str:
    """The text, cut where it is too wide."""
    if draw.textlength(text, _font(14)) <= width:
        return text
    while text and draw.textlength(text + "...", _font(14)) > width:
        text = text[:-1]
    return text + "..."


def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)
