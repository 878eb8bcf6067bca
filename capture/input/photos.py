"""One photo of the input to one photo of the scene: upright, in sRGB, not too large."""

from __future__ import annotations

import struct
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image, ImageOps

from capture.checks.measure import Look, look_at
from capture.input.files import Source
from datasets.files.images import to_srgb
from errors import UserError
from writing.files import replacing

_ORIENTATION = ExifTags.Base.Orientation
_SMALLEST = 64  # pixels; SIFT finds nothing in less

# Photos of 200 megapixels exist; Pillow's guard against them is for servers.
Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True)
class Photo:
    """A photo as it was prepared for solving.

    Attributes:
        name: of the file in the scene.
        source: file name of the original.
        size: width and height in pixels.
        camera: what tells cameras and zooms apart: maker, model, focal length, size.
        taken: EXIF date and time, or "".
        mask: "alpha" where the photo itself has transparency, "mask" from a mask file, or "".
        look: sharpness, exposure and colour.
    """

    name: str
    source: str
    size: tuple[int, int]
    camera: str
    taken: str
    mask: str
    look: Look

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Photo:
        look = Look(**values["look"])
        return Photo(**{**values, "size": tuple(values["size"]), "look": look})


def prepare_photo(source: Source, folder: Path, max_size: int) -> Photo:
    """Write the photo to folder/images and its mask, if any, to folder/masks.

    The EXIF orientation is baked into the pixels and its tag removed; the other tags stay for
    the focal length. Raises UserError where the file is no readable photo.
    """
    image, exif = read_upright(source.path, max_size)
    size = image.size
    if min(size) < _SMALLEST:
        raise UserError(f"{source.path}: {size[0]} x {size[1]} pixels are too few to find poses")
    mask = ""
    if image.mode == "RGBA":
        alpha = image.getchannel("A")
        image = image.convert("RGB")
        if np.asarray(alpha).min() < 255:  # an alpha channel that hides nothing is no mask
            mask = "alpha"
            save(alpha, mask_file(folder, source.name))
    if source.mask is not None:
        mask = "mask"
        grey = read_upright(source.mask, None)[0].convert("L")
        save(grey.resize(size, Image.Resampling.BILINEAR), mask_file(folder, source.name))
    save(image, folder / "images" / source.name, exif)
    tags = {**exif, **exif.get_ifd(ExifTags.IFD.Exif)}
    return Photo(
        name=source.name,
        source=source.path.name,
        size=size,
        camera=camera_key(tags, size),
        taken=str(
            tags.get(ExifTags.Base.DateTimeOriginal) or tags.get(ExifTags.Base.DateTime) or ""
        ),
        mask=mask,
        look=look_at(np.asarray(image)),
    )


def camera_key(tags: dict[int, Any], size: tuple[int, int]) -> str:
    """What photos with the same intrinsics have in common."""
    base = ExifTags.Base
    fields = (base.Make, base.Model, base.LensModel, base.FocalLength, base.FocalLengthIn35mmFilm)
    words = [str(tags[tag]).strip("\0 ") for tag in fields if tags.get(tag)]
    return " ".join([*words, f"{size[0]}x{size[1]}"])


def read_upright(path: Path, max_size: int | None) -> tuple[Image.Image, Image.Exif]:
    """The photo as RGB or RGBA, turned upright, and its EXIF tags without the orientation.

    A JPEG that is far larger than max_size is decoded at a half, a quarter or an eighth, so that
    50 megapixels never stand in memory.
    """
    try:
        if path.stat().st_size == 0:
            raise UserError(f"{path}: is empty (0 bytes)")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd EXIF blocks, which do not matter here
            if path.suffix.lower() in (".heic", ".heif"):
                _register_heif()
            with Image.open(path) as opened:
                if max_size is not None:
                    opened.draft("RGB", (max_size, max_size))
                exif = opened.getexif()
                image = to_srgb(_eight_bits(opened))
                image = image.convert("RGBA" if image.has_transparency_data else "RGB")
                if max_size is not None and max(image.size) > max_size:
                    image.thumbnail(
                        (max_size, max_size), Image.Resampling.LANCZOS, reducing_gap=3.0
                    )
                # exif_transpose reads the tag from the image itself.
                image.getexif()[_ORIENTATION] = exif.get(_ORIENTATION, 1)
                image = ImageOps.exif_transpose(image)
    except UserError:
        raise
    except ImportError as error:
        raise UserError(f"{path}: HEIC needs pillow-heif; pip install pillow-heif") from error
    except Exception as error:  # decoders raise nearly anything on damaged files
        reason = str(error) or type(error).__name__
        if "cannot identify" in reason:
            reason = "not an image, whatever its ending says"
        raise UserError(f"{path}: cannot be read ({reason})") from error
    exif.pop(_ORIENTATION, None)
    return image, exif


def save(image: Image.Image, path: Path, exif: Image.Exif | None = None) -> None:
    """Write an image under a temporary name, then rename it."""
    if path.suffix.lower() == ".png":
        with replacing(path) as temporary:
            image.save(temporary, "PNG", compress_level=3)
        return
    for tags in (exif or b"", b""):
        try:
            with replacing(path) as temporary:
                image.save(temporary, "JPEG", quality=97, subsampling=0, exif=tags)
            return
        except (ValueError, TypeError, struct.error):
            if not tags:  # else: a maker's tags that Pillow cannot write back are left out
                raise


def mask_file(folder: Path, name: str) -> Path:
    """Where the mask of the photo `name` lies."""
    return folder / "masks" / f"{Path(name).stem}.png"


def load_rgb(path: Path) -> UInt8[np.ndarray, "height width 3"]:
    """A photo that prepare_photo wrote."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit and float greys as 8-bit ones, which convert() would clip."""
    if not image.mode.startswith(("I", "F")):
        return image
    grey = np.nan_to_num(np.asarray(image, dtype=np.float32))
    scale = 65535 if grey.max() > 255 else 255 if grey.max() > 1 else 1
    return Image.fromarray((255 * (grey / scale).clip(0, 1) + 0.5).astype(np.uint8))


def _register_heif() -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()
