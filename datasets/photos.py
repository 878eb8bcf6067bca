"""Reading photos: orientation, lens distortion, size, transparency; all to uint8 RGB."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Int, UInt8
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from datasets.files.finder import ENDINGS as ENDINGS
from datasets.files.finder import find_beside
from datasets.files.finder import list_photos as list_photos
from datasets.files.images import open_image, orientation
from datasets.lens import Lens
from errors import UserError


@dataclass(frozen=True)
class Frame:
    """How to read one photo of a scene."""

    name: str
    size: tuple[int, int]  # width and height it is read at
    path: Path | None = None
    array: UInt8[np.ndarray, "height width channel"] | None = None  # where no file holds it alone
    upright: bool = False  # turn by the EXIF orientation
    lens: Lens | None = None
    mask_path: Path | None = None
    mask_is_alpha: bool = False  # the mask is the photo's opacity


@dataclass(frozen=True)
class Photos:
    """Photos of any sizes, one after the other in one flat buffer.

    Pixel (x, y) of photo i is pixels[offsets[i] + y * width_i + x]. `valid` is False where a
    mask leaves a pixel out; None without masks. `alpha` is the opacity of pixels, where it was
    asked for and a photo has it.
    """

    pixels: UInt8[Tensor, "pixel 3"]
    widths: Int[Tensor, "image"]
    offsets: Int[Tensor, "image+1"]
    valid: Bool[Tensor, "pixel"] | None = None
    alpha: UInt8[Tensor, "pixel"] | None = None

    def __len__(self) -> int:
        return len(self.widths)

    def image(self, index: int) -> UInt8[Tensor, "height width 3"]:
        return self._view(self.pixels, index)

    def mask(self, index: int) -> Bool[Tensor, "height width"] | None:
        return None if self.valid is None else self._view(self.valid, index)

    def locate(self, pixel: Int[Tensor, "ray"]) -> tuple[Tensor, Tensor, Tensor]:
        """The photo, column and row of each pixel of the buffer."""
        return locate(pixel, self.offsets, self.widths)

    def _view(self, flat: Tensor, index: int) -> Tensor:
        start, end = self.offsets[index], self.offsets[index + 1]
        return flat[start:end].unflatten(0, (-1, int(self.widths[index])))


def locate(
    pixel: Int[Tensor, "ray"], offsets: Int[Tensor, "edge"], widths: Int[Tensor, "image"]
) -> tuple[Tensor, Tensor, Tensor]:
    """The photo, column x and row y of pixels of a flat buffer as in Photos."""
    image = torch.searchsorted(offsets, pixel, right=True) - 1
    within = pixel - offsets[image]
    width = widths[image]
    y = torch.div(within, width, rounding_mode="floor")
    return image, within - y * width, y


def photo_size(path: Path) -> tuple[tuple[int, int], tuple[int, int]]:
    """Width and height as stored, and as seen when turned by the EXIF orientation.

    Reads the header only. Raises UserError where there is no readable image.
    """
    with open_image(path) as image:
        turned = orientation(image) >= 5  # orientations 5 to 8 swap the sides
        width, height = image.size
    return (width, height), ((height, width) if turned else (width, height))


def has_alpha(path: Path) -> bool:
    """Whether pixels of the image may be transparent. Reads the header only."""
    with open_image(path) as image:
        return image.has_transparency_data


def read_photo(frame: Frame) -> UInt8[np.ndarray, "height width channel"]:
    """The photo as RGB or RGBA at the frame's size, undistorted."""
    if frame.array is not None:
        image = frame.array
    else:
        assert frame.path is not None
        image = _decode(frame.path, frame.upright)
    if frame.mask_is_alpha and frame.mask_path is not None:
        mask = _scaled(_decode_mask(frame), (image.shape[1], image.shape[0]))
        image = np.dstack([image[..., :3], mask])
    if frame.lens is not None:
        image = _undistorted(image, frame)
    return _resize(image, frame.size)


def read_mask(frame: Frame) -> Bool[np.ndarray, "height width"]:
    """True where the pixel counts."""
    width, height = frame.size
    if frame.mask_path is None:
        return np.ones((height, width), dtype=bool)
    mask = _decode_mask(frame)
    if frame.lens is not None:
        assert frame.path is not None
        stored, turned = photo_size(frame.path)  # which the lens is for
        mask = _undistorted(_scaled(mask, turned if frame.upright else stored), frame)
    return _scaled(mask, (width, height)) > 127


def _undistorted(image: NDArray[np.uint8], frame: Frame) -> NDArray[np.uint8]:
    assert frame.lens is not None
    try:
        return frame.lens.undistort(image)
    except cv2.error as error:
        raise UserError(f"{frame.path}: its lens cannot be undone ({error.err})") from error


def _decode_mask(frame: Frame) -> UInt8[np.ndarray, "height width"]:
    """The frame's mask as it is stored: 255 where the pixel counts."""
    assert frame.mask_path is not None
    mask = _decode(frame.mask_path, frame.upright)[..., :3].max(axis=-1)
    if mask.max() == 1:  # some tools write 0 and 1
        mask = mask * np.uint8(255)
    return mask


def _scaled(
    mask: UInt8[np.ndarray, "h w"], size: tuple[int, int]
) -> UInt8[np.ndarray, "height width"]:
    return cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)


def load_photos(
    frames: list[Frame], background: float, keep_alpha: bool = False, threads: int = 4
) -> Photos:
    """Decode photos straight into one uint8 buffer, several at once.

    Args:
        frames: what to read.
        background: grey level in [0, 1] that transparent pixels are composited on.
        keep_alpha: keep their opacity too, unless an alpha channel hides nothing in any of them: a
            blank background was painted into such photos, and is no part of what they show.
        threads: decoders; each holds one photo in memory besides the result.

    Raises UserError for a mask that leaves nothing of its photo.
    """
    widths = torch.tensor([frame.size[0] for frame in frames], dtype=torch.int64)
    counts = torch.tensor([frame.size[0] * frame.size[1] for frame in frames], dtype=torch.int64)
    offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    pixels = np.empty((int(offsets[-1]), 3), dtype=np.uint8)
    masked = any(frame.mask_path and not frame.mask_is_alpha for frame in frames)
    valid = np.empty(len(pixels), dtype=bool) if masked else None

    alpha: NDArray[np.uint8] | None = None
    lock = threading.Lock()

    def keep(opacity: NDArray[np.uint8], start: int, end: int) -> None:
        nonlocal alpha
        with lock:
            if alpha is None:  # most photos have none, and it would take a third of their memory
                alpha = np.full(len(pixels), 255, dtype=np.uint8)
        alpha[start:end] = opacity.reshape(-1)

    def read(index: int) -> None:
        start, end = int(offsets[index]), int(offsets[index + 1])
        photo = read_photo(frames[index])
        pixels[start:end] = _composite(photo, background).reshape(-1, 3)
        if keep_alpha and photo.shape[-1] == 4 and photo[..., 3].min() < 255:
            keep(photo[..., 3], start, end)
        if valid is not None:
            mask = read_mask(frames[index])
            if not mask.any():
                raise UserError(
                    f"{frames[index].mask_path}: hides all of its photo; leave the photo out, "
                    "or make white what counts"
                )
            valid[start:end] = mask.reshape(-1)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(read, range(len(frames))))
    return Photos(
        torch.from_numpy(pixels),
        widths,
        offsets,
        None if valid is None else torch.from_numpy(valid),
        None if alpha is None else torch.from_numpy(alpha),
    )


def _composite(image: NDArray[np.uint8], background: float) -> NDArray[np.uint8]:
    if image.shape[-1] == 3:
        return image
    rgb, alpha = image[..., :3].astype(np.float32), image[..., 3:].astype(np.float32) / 255
    return (rgb * alpha + (255 * background) * (1 - alpha) + 0.5).astype(np.uint8)


def _resize(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    if (image.shape[1], image.shape[0]) == size:
        return image
    # Pillow's Lanczos widens with the reduction, so that it does not alias, and weighs by alpha.
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))


def _decode(path: Path, upright: bool) -> NDArray[np.uint8]:
    with open_image(path) as image:
        turned = ImageOps.exif_transpose(image) if upright else image
        if turned.mode.startswith(("I", "F")):  # 16 bits a channel, which convert() would clip
            grey = np.nan_to_num(np.asarray(turned, dtype=np.float64)).clip(min=0)
            sixteen = turned.mode.startswith("I;16") or grey.max() > 255
            floats = turned.mode == "F" and grey.max() <= 1
            grey = (grey / (65535 if sixteen else 1 if floats else 255)).clip(max=1)
            return np.repeat((255 * grey + 0.5).astype(np.uint8)[..., None], 3, axis=-1)
        clear = turned.has_transparency_data
        return np.asarray(turned.convert("RGBA" if clear else "RGB"))


def find_mask(folder: Path, photo: str) -> Path | None:
    """The mask of a photo: photo.jpg.png (as COLMAP has it) or photo.png in `folder`."""
    return find_beside(folder, (f"{photo}.png", f"{Path(photo).stem}.png"))
