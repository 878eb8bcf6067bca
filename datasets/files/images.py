"""Images from users' files: opened by Pillow, whatever it makes of them."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageCms

from datasets.files.text import is_file
from errors import UserError

# What photos come as. Pillow would hand others to programs that it starts (EPS, to Ghostscript).
_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
# A few bytes may claim any size: so many pixels are believed of any file, more of a larger one.
_PIXELS, _PIXELS_PER_BYTE = 40_000_000, 100
_ORIENTATION = 0x0112


@contextmanager
def open_image(path: Path) -> Iterator[Image.Image]:
    """The image of a file, as Pillow opens it; for a block that does nothing but decode it.

    Raises UserError where the file is missing, empty, no image, larger than it can be, or where
    decoding fails in the block.
    """
    if not is_file(path):
        raise UserError(f"{path}: no such image")
    stored = path.stat().st_size
    if stored == 0:
        raise UserError(f"{path}: the image is empty (0 bytes); replace it")
    with _decoding(str(path)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd EXIF blocks, which do not matter here
            opened = Image.open(path, formats=_FORMATS)
        with opened as image:
            _check_size(image, stored, str(path))
            yield image


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none or it cannot be read."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # a damaged EXIF block, of an image that may be sound
        return 1
    return value if value in range(1, 9) else 1


def decode_rgb(encoded: bytes, what: str) -> UInt8[np.ndarray, "height width 3"]:
    """The colours of an encoded image. Raises UserError, beginning with `what`, if damaged."""
    with _decoding(what), Image.open(io.BytesIO(encoded), formats=_FORMATS) as image:
        if image.size[0] * image.size[1] > max(_PIXELS, _PIXELS_PER_BYTE * len(encoded)):
            raise UserError(
                f"{what}: {len(encoded)} bytes claim to be {image.size} pixels; damaged"
            )
        return np.asarray(image.convert("RGB"))


def to_srgb(image: Image.Image) -> Image.Image:
    """The image in sRGB, where it says that its colours are others (Display P3, Adobe RGB).

    A profile that is damaged, or of other channels than the image's, is passed over.
    """
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "RGBA", "CMYK"):
        return image
    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        srgb = ImageCms.createProfile("sRGB")
        if "srgb" in ImageCms.getProfileDescription(source).lower():
            return image
        converted = ImageCms.profileToProfile(image, source, srgb, outputMode=mode)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image
    assert converted is not None
    converted.info.pop("icc_profile", None)
    return converted


def read_rgb(path: Path) -> UInt8[np.ndarray, "height width 3"]:
    """The colours of an image file."""
    with open_image(path) as image:
        return np.asarray(image.convert("RGB"))


def _check_size(image: Image.Image, stored: int, what: str) -> None:
    width, height = image.size
    if not 0 < width * height <= max(_PIXELS, _PIXELS_PER_BYTE * stored):
        raise UserError(f"{what}: {stored} bytes claim to be {width} x {height} pixels; replace it")


@contextmanager
def _decoding(what: str) -> Iterator[None]:
    """Pillow's plugins raise whatever their parsing runs into: all of it is a damaged image."""
    try:
        yield
    except UserError:
        raise
    except Image.UnidentifiedImageError as error:
        raise UserError(f"{what}: not a readable image; replace it") from error
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise UserError(f"{what}: the image is damaged ({reason}); replace it") from error
