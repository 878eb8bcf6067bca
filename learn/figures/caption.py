"""Words below a picture, as part of it: for the frames of a GIF."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont


def with_caption(
    image: UInt8[np.ndarray, "height width 3"], text: str
) -> UInt8[np.ndarray, "taller wider 3"]:
    """The image on white with one line of text below it.

    An image narrower than 160 pixels gets a white border, so that the words find room.
    """
    size = 13
    height, width = image.shape[:2]
    canvas = Image.new("RGB", (max(width, 160), height + size + 9), "white")
    canvas.paste(Image.fromarray(image), ((canvas.width - width) // 2, 0))
    ImageDraw.Draw(canvas).text(
        (canvas.width // 2, height + 4),
        text,
        fill=(40, 40, 40),
        font=ImageFont.load_default(size),
        anchor="ma",
    )
    return np.asarray(canvas)
