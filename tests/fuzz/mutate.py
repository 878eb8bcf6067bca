"""Damage to bytes, to JSON, to text and to arrays, drawn from a random generator."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import numpy as np

SPECIAL: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 0.5, -0.5, 1e-30, 1e-310, 1e30, -1e30, 1e308, -1e308),
    *(2**31, 2**63, 2**64 - 1, -(2**63), 10**400, float("nan"), float("inf"), float("-inf")),
    *(
        "",
        "x",
        "1",
        "nan",
        "-1e999",
        "../..",
        "/",
        ".",
        "a\0b",
        "\ud800",
        "é" * 300,
        "a\nb",
        "%s{}",
    ),
    *([], {}, [[]], [1], [None], [[1, 2], [3]], {"a": 1}, [[0.0] * 4] * 4, [[1e300] * 4] * 4),
    *([[float("nan")] * 4] * 4, [0] * 1000, "a" * 5000, 3.0, 4.5, 100.0, 1e6, -100.0, 1e15),
]


def mutate_bytes(content: bytes, rng: random.Random) -> bytes:
    """Flip, replace, insert, repeat, cut: a few places, or the end."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        kind = rng.randrange(8)
        place = rng.randrange(max(1, len(data)))
        if rng.random() < 0.4:  # headers have more to damage
            place = rng.randrange(max(1, min(64, len(data))))
        if kind == 0 and data:
            data[place] ^= 1 << rng.randrange(8)
        elif kind == 1 and data:
            data[place] = rng.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF, rng.randrange(256)))
        elif kind == 2:
            number = rng.choice(
                (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1, rng.randrange(2**32))
            )
            width = rng.choice((2, 4, 8))
            data[place : place + width] = (number % 2 ** (8 * width)).to_bytes(width, "little")
        elif kind == 3:
            data[place:place] = rng.randbytes(rng.choice((1, 4, 100)))
        elif kind == 4:
            del data[place : place + rng.choice((1, 4, 8, 100))]
        elif kind == 5:
            del data[rng.randrange(len(data) + 1) :]
        elif kind == 6:
            value = rng.choice((float("nan"), float("inf"), 1e300, -1e300, 1e-300, 0.0, -1.0))
            data[place : place + 8] = np.array(value, "<f8").tobytes()
        else:
            end = rng.randrange(place, min(len(data), place + 200) + 1)
            data[place:place] = data[place:end]
    return bytes(data)


def mutate_json(content: bytes, rng: random.Random) -> bytes:
    """Values replaced, left out, repeated or wrapped; and now and then bytes of the text."""
    if rng.random() < 0.15:
        return mutate_bytes(content, rng)
    text = json.dumps(mutate_value(json.loads(content), rng))
    return rng.choice((b"", b"", b"", b"\xef\xbb\xbf")) + text.encode("utf-8", "surrogatepass")


def mutate_value(value: Any, rng: random.Random) -> Any:
    """Plain values (dicts, lists, numbers) with one to three of them damaged."""
    value = [copy.deepcopy(value)]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        holder, key = _pick(value, rng)
        kind = rng.randrange(10)
        if kind < 6 or holder is value:
            holder[key] = copy.deepcopy(rng.choice(SPECIAL))
        elif kind == 6:
            del holder[key]
        elif kind == 7:
            holder[key] = [holder[key]]
        elif kind == 8 and isinstance(holder, list):
            holder.insert(key, copy.deepcopy(holder[key]))
        elif isinstance(holder[key], float):
            holder[key] = holder[key] * rng.choice((-1, 0, 1e-3, 1e3, 1e9, 1e200))
        else:
            other, its_key = _pick(value, rng)
            holder[key] = copy.deepcopy(other[its_key])
        if not value:
            return None
    return value[0]


def _pick(value: list[Any], rng: random.Random) -> tuple[Any, Any]:
    """A place in nested values: its list or dict, and the key there. Each level is as likely."""
    holder: Any = value
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = rng.choice(keys)
        inner = holder[key]
        whole = 0.02 if holder is value else 0.1
        if not isinstance(inner, dict | list) or not inner or rng.random() < whole:
            return holder, key
        holder = inner


def mutate_text(content: bytes, rng: random.Random) -> bytes:
    """Words replaced, left out or repeated; lines left out, repeated or swapped."""
    if rng.random() < 0.2:
        return mutate_bytes(content, rng)
    lines = content.decode().split("\n")
    for _ in range(rng.choice((1, 1, 2, 4))):
        number = rng.randrange(len(lines))
        kind = rng.randrange(6)
        if kind < 3:
            words = lines[number].split(" ")
            place = rng.randrange(len(words))
            word = str(rng.choice(SPECIAL[:40]))
            words[place : place + rng.choice((0, 1, 1, 1))] = [] if kind == 2 else [word]
            lines[number] = " ".join(words)
        elif kind == 3:
            del lines[number]
            lines = lines or [""]
        elif kind == 4:
            lines.insert(number, rng.choice(lines))
        else:
            other = rng.randrange(len(lines))
            lines[number], lines[other] = lines[other], lines[number]
    return "\n".join(lines).encode("utf-8", "replace")


def mutate_array(array: np.ndarray, rng: random.Random) -> np.ndarray:
    """An array with other values, another shape or another type."""
    array = array.copy()
    kind = rng.randrange(8)
    with np.errstate(all="ignore"):
        if kind < 3 and array.size:
            for _ in range(rng.choice((1, 3, 20))):
                value = rng.choice((np.nan, np.inf, 0, -1, 1e300, 1e-300, 1e20, 1e9, 5.5))
                array.reshape(-1)[rng.randrange(array.size)] = np.array(value).astype(array.dtype)
            return array
        if kind == 3:
            names = ("f2", ">f4", "f16", "c16", "i1", "u8", "?", "U3", "S5", "M8[s]", "O", ">i8")
            return array.astype(np.dtype(rng.choice(names)))
        if kind == 4:
            return array[: rng.randrange(len(array) + 1)] if array.ndim else array.reshape(1, 1)
        if kind == 5:
            return array.reshape(-1) if rng.random() < 0.5 else array[None]
        if kind == 6 and array.ndim:
            return np.swapaxes(array, 0, rng.randrange(array.ndim))
        return array * array.dtype.type(rng.choice((0, 100, 2)))
