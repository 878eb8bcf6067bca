"""Pictures and films for a page, at the size that they are shown at."""

from __future__ import annotations

import base64
import io
import subprocess
from pathlib import Path

from PIL import Image

from datasets.files.images import open_image
from datasets.files.text import is_file
from writing.ffmpeg import failure, ffmpeg_program, source
from writing.files import replacing
from writing.html.page import data_uri

# Longer sides in pixels: a picture fills half of a page, twice over for fine screens.
_PICTURE_SIDE, _FILM_SIDE = 1000, 720
STRIP_SIDE = 3000  # of a strip, which is scrolled
# Pictures up to this size stay as they are: pixels of small ones are looked at one by one.
_SMALL = 400
_LARGEST_FILM = 1_500_000  # bytes


def shown_picture(path: Path, side: int = _PICTURE_SIDE) -> str:
    """The picture as a data address: small ones whole, larger ones reduced, as JPEG.

    Args:
        side: the longer one at most, in pixels.
    """
    with open_image(path) as image:
        small = image.convert("RGB")  # decodes: a damaged one is told, not shown as a gap
    if max(small.size) <= _SMALL:
        return data_uri(path)
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def shown_film(path: Path, folder: Path) -> str:
    """The film as a data address; a large one is reduced, into `folder`, first."""
    if path.stat().st_size <= _LARGEST_FILM:
        return data_uri(path)
    small = folder / f"{path.parent.name}_{path.name}"
    scale = (
        f"scale='min({_FILM_SIDE},iw)':'min({_FILM_SIDE},ih)':force_original_aspect_ratio=decrease"
    )
    with replacing(small) as temporary:
        command = [
            *(ffmpeg_program(), "-hide_banner", "-nostdin", "-loglevel", "error", "-y"),
            *(*source(path), "-an", "-vf", f"{scale}:force_divisible_by=2"),
            *("-c:v", "libx264", "-crf", "26", "-pix_fmt", "yuv420p", "-movflags", "+faststart"),
            str(temporary),
        ]
        done = subprocess.run(command, capture_output=True)
        if done.returncode:
            raise failure(done.stderr.splitlines(), done.returncode, small)
    return data_uri(small)


def poster(path: Path) -> str | None:
    """The first frame beside a film, as a data address: what shows before it plays."""
    frame = path.parent / "000.png"
    return shown_picture(frame) if is_file(frame) else None
