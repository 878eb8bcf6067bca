"""Weights in few bytes: tables in 8 bits or fewer, the rest in half precision.

What is packed is plain values and tensors, so that a file of it loads with weights_only=True.
"""

from __future__ import annotations

import math
import zlib
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from datasets.files.layout import check_layout

HALF_BITS, MOST_BITS, FEWEST_BITS = 16, 8, 4
# Tensors of fewer values stay as they are: they take no bytes, and may need their digits.
_SMALL = 1000
# Of a channel's values, so many lie outside its range at either end: what no photo shows has
# values of any size.
_OUTSIDE = 1e-5
_MOST_SORTED = 1 << 20
_HALF_MOST = 65504.0
_LAYOUT = {
    **{"kind": str, "shape": [int], "bits": int},
    **{"low": Tensor, "high": Tensor, "bytes": Tensor},
}


def pack(weights: dict[str, Tensor], bits: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights in half precision, and what is packed closer, by name.

    Tables (names that end in _table, one row a place) and planes take `bits` a value, in a range
    for each channel, or half precision (16); long lists of whole numbers are stored as their
    differences.
    """
    plain: dict[str, Tensor] = {}
    packed: dict[str, Any] = {}
    for name, weight in weights.items():
        if weight.numel() < _SMALL:
            plain[name] = weight
        elif bits <= MOST_BITS and _is_table(name, weight):
            packed[name] = _pack_table(weight.float(), bits)
        elif weight.dtype == torch.int32 and weight.dim() == 1:
            packed[name] = _pack_list(weight)
        elif weight.dtype == torch.float32 and float(weight.abs().max()) < _HALF_MOST:
            plain[name] = weight.half()
        else:
            plain[name] = weight
    return plain, packed


def unpack(plain: dict[str, Tensor], packed: Any) -> dict[str, Tensor]:
    """The weights again, in single precision.

    Raises UserError or ValueError where `pack` did not make these values.
    """
    check_layout(packed, {str: _LAYOUT}, "packed")
    weights = {n: w.float() if w.dtype == torch.float16 else w for n, w in plain.items()}
    for name, values in packed.items():
        missing = _LAYOUT.keys() - values.keys()
        if missing or any(length < 0 for length in values["shape"]):
            raise ValueError(f"{name} is incomplete")
        weights[name] = _unpack_table(values) if values["kind"] == "table" else _unpack_list(values)
    return weights


def _is_table(name: str, weight: Tensor) -> bool:
    named = name.endswith("_table") or "_planes." in name
    return named and weight.dim() >= 2 and weight.is_floating_point()


def _pack_table(weight: Float[Tensor, "*place channel"], bits: int) -> dict[str, Any]:
    table = weight.reshape(-1, weight.shape[-1])
    sample = table[:: 1 + len(table) // _MOST_SORTED]
    shares = sample.new_tensor([_OUTSIDE, 1 - _OUTSIDE])
    low, high = torch.stack([torch.quantile(c, shares) for c in sample.unbind(1)], dim=1)
    high = torch.maximum(high, low + 1e-6)
    most = 2**bits - 1
    codes = (most * ((table - low) / (high - low)).clamp(0, 1)).round().to(torch.uint8)
    # One channel after the other: neighbours in a channel are alike.
    return {
        **{"kind": "table", "shape": list(weight.shape), "bits": bits, "low": low, "high": high},
        "bytes": _deflate(codes.t().contiguous()),
    }


def _unpack_table(values: dict[str, Any]) -> Tensor:
    *places, channels = values["shape"]
    rows = math.prod(places)
    codes = _inflate(values["bytes"], rows * channels).view(channels, rows).t()
    span = (values["high"] - values["low"]) / (2 ** values["bits"] - 1)
    return (values["low"] + span * codes).float().view(values["shape"])


def _pack_list(numbers: Tensor) -> dict[str, Any]:
    steps = torch.diff(numbers, prepend=numbers.new_zeros(1))
    # The first bytes of all, then their second ones: most of the later ones are zero.
    planes = steps.view(torch.uint8).view(-1, 4).t().contiguous()
    nothing = torch.zeros(0)
    return {
        **{"kind": "list", "shape": [len(numbers)], "bits": 32, "low": nothing, "high": nothing},
        "bytes": _deflate(planes),
    }


def _unpack_list(values: dict[str, Any]) -> Tensor:
    (count,) = values["shape"]
    planes = _inflate(values["bytes"], 4 * count).view(4, count)
    steps = planes.t().contiguous().view(torch.int32).view(count)
    return steps.cumsum(0).int()


def _deflate(codes: UInt8[Tensor, "*any"]) -> UInt8[Tensor, "byte"]:
    return torch.frombuffer(bytearray(zlib.compress(codes.numpy().tobytes())), dtype=torch.uint8)


def _inflate(content: Tensor, count: int) -> UInt8[Tensor, "count"]:
    """Exactly so many bytes. Raises ValueError where the content has others."""
    stream = zlib.decompressobj()
    try:
        found = stream.decompress(content.numpy().tobytes(), count + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if len(found) != count:
        raise ValueError(f"{len(found)} bytes instead of {count}")
    return torch.frombuffer(bytearray(found), dtype=torch.uint8) if count else torch.zeros(0).byte()
