"""A trained scene in a file that can be sent: its weights in as few bits as its pictures allow."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from api import Model, load_model
from training.checkpoints import Checkpoint, exported_content
from training.packing import FEWEST_BITS, HALF_BITS, MOST_BITS, pack, unpack
from writing.files import write_bytes

from .alike import psnr_between

# Pictures of exported weights against the checkpoint's, in dB: below it, a difference is seen.
LEAST_ALIKE = 45.0
_COMPARED_SIDE = 100


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        megabytes: of the file.
        alike: PSNR in dB of its pictures against the checkpoint's; infinite where they are equal.
    """

    megabytes: float
    alike: float

    def __str__(self) -> str:
        same = "the same pictures" if self.alike == float("inf") else f"{self.alike:.1f} dB"
        return f"{self.megabytes:.1f} MB, {same}"


def export_weights(model: Model, checkpoint: Checkpoint, path: Path, megabytes: float) -> Exported:
    """Write what rendering needs, without the state of the training.

    Args:
        model: of the checkpoint, to compare pictures with.
        megabytes: of the file, where pictures stay within LEAST_ALIKE: tables take fewer bits
            until it fits, as far as that goes. 0 writes all weights as they are.
    """
    content, alike = _serialized(exported_content(checkpoint)), float("inf")
    if megabytes:
        content, alike = _packed(model, checkpoint, HALF_BITS)
        for bits in range(MOST_BITS, FEWEST_BITS - 1, -1):
            fewer, its_alike = _packed(model, checkpoint, bits)
            if its_alike < LEAST_ALIKE:
                break
            content, alike = fewer, its_alike
            if len(content) <= 1e6 * megabytes:
                break
    write_bytes(path, content)
    return Exported(len(content) / 1e6, alike)


def _packed(model: Model, checkpoint: Checkpoint, bits: int) -> tuple[bytes, float]:
    """The file with so many bits a value of a table, and how alike its pictures are."""
    packed = pack(checkpoint.state_dict, bits)
    again = replace(checkpoint, state_dict=unpack(*packed))
    assert checkpoint.scene is not None
    shown = load_model(again, model.options, checkpoint.scene, model.device)
    renderers = (model.renderer, shown.renderer)
    alike = psnr_between(model.scene, model.device, *renderers, _COMPARED_SIDE)
    return _serialized(exported_content(checkpoint, packed)), alike


def _serialized(content: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()
