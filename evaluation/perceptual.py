"""LPIPS (Zhang et al., 2018), where the lpips package and its weights are at hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

from errors import UserError

Image = UInt8[np.ndarray, "height width 3"]
Mask = Bool[np.ndarray, "height width"]
Lpips = Callable[[Image, Image, Mask | None], float]


def load_lpips(device: torch.device) -> Lpips:
    """LPIPS with VGG's features, as papers on radiance fields report it; lower is better.

    Pixels that a mask leaves out are taken from the photo: they add nothing.

    Raises UserError where the package is missing, or its weights cannot be loaded.
    """
    try:
        import lpips
    except ImportError as error:
        raise UserError(
            f"--lpips: {error}; pip install lpips, with a torchvision that suits your torch"
        ) from error
    try:
        network = lpips.LPIPS(net="vgg", verbose=False).to(device).eval()
    except Exception as error:  # a download, in whichever way it fails
        raise UserError(
            f"--lpips: VGG's weights cannot be loaded ({error}); they are downloaded at the first "
            "use, which takes a connection"
        ) from error

    def to_tensor(image: Image) -> Tensor:
        return torch.from_numpy(image).to(device).permute(2, 0, 1)[None].float() / 127.5 - 1

    def measure(image: Image, photo: Image, valid: Mask | None) -> float:
        if valid is not None:
            image = np.where(valid[..., None], image, photo)
        with torch.no_grad():
            return float(network(to_tensor(image), to_tensor(photo)).mean())

    return measure
