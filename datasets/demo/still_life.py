"""The solids of the demo scene and their textures."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from datasets.demo.raytracer import Colour, Solid, World
from datasets.demo.solids import Box, Frustum, Sphere, Torus, Vectors

Texture = Callable[[Vectors], Vectors]

# The plinth's top.
FLOOR = -0.46


def still_life() -> World:
    """Solids on a round plinth, within 1.4 of the origin, +z up."""
    return World(
        (
            Solid(
                Frustum(1.2, 1.25, 0.07),
                (0, 0, FLOOR - 0.07),
                rosette("#e9dcc3", "#7d93a6", "#3d5268"),
                grazing=0.0,
                mirror=(0.0, 0.0, 0.0),
                casts_shadow=False,
            ),
            Solid(
                Frustum(0.36, 0.0, 0.6),
                (-0.42, 0.50, FLOOR + 0.6),
                spiral("#e23b3b", "#fbf3e4", turns=3),
                shade=0.3,
            ),
            Solid(
                Box((0.31, 0.31, 0.31)),
                (0.52, 0.42, FLOOR + 0.31),
                checker("#f4b223", "#fff4d6", cells=4, half=0.31),
                rotation=turned(28),
                shade=0.33,
            ),
            Solid(
                Sphere(0.2),
                (0.52, 0.42, FLOOR + 0.62 + 0.2),
                to_dict("#8a5a14"),
                mirror=(0.78, 0.52, 0.18),
                grazing=1.0,
                shade=0.2,
            ),
            Solid(
                Sphere(0.42),
                (-0.45, -0.42, FLOOR + 0.42),
                marble("#123c8c", "#4fa3e0", "#f2f7ff"),
                grazing=1.0,
                shade=0.42,
            ),
            Solid(
                Torus(0.31, 0.11),
                (0.45, -0.48, FLOOR + 0.11),
                rings("#1c9c6b", "#d9f2b4", count=14),
                shade=0.2,
            ),
            Solid(
                Sphere(0.17),
                (0.45, -0.48, FLOOR + 0.17),
                spiral("#d81b60", "#ffd9e6", turns=0, arms=8),
                grazing=1.0,
                shade=0.17,
            ),
            Solid(
                Sphere(0.12),
                (-0.03, -0.9, FLOOR + 0.12),
                to_dict("#f4661b"),
                grazing=1.0,
                shade=0.12,
            ),
            Solid(
                Frustum(0.17, 0.17, 0.19),
                (-0.86, 0.12, FLOOR + 0.19),
                spiral("#6a3fa0", "#c9b3ef", turns=2, arms=6),
                shade=0.17,
            ),
        )
    )


def rgb(colour: str) -> Colour:
    """Linear red, green, blue of "#rrggbb" (sRGB)."""
    r, g, b = (((int(colour[i : i + 2], 16) / 255 + 0.055) / 1.055) ** 2.4 for i in (1, 3, 5))
    return r, g, b


def turned(degrees: float) -> tuple[Colour, Colour, Colour]:
    """A rotation around z."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return (c, -s, 0), (s, c, 0), (0, 0, 1)


def mix(share: Tensor, first: str, second: str) -> Vectors:
    a, b = share.new_tensor(rgb(first))[:, None], share.new_tensor(rgb(second))[:, None]
    return a + share * (b - a)


def to_dict(colour: str) -> Texture:
    return lambda x: mix(torch.zeros_like(x[0]), colour, colour)


def checker(first: str, second: str, cells: int, half: float) -> Texture:
    """Squares, `cells` along each edge of a box."""

    def texture(x: Vectors) -> Vectors:
        # Within the box by a hair: a face's own coordinate must not flicker between two cells.
        cell = ((x * 0.9999 / half + 1) * (cells / 2)).floor()
        return mix(cell.sum(0) % 2, first, second)

    return texture


def spiral(first: str, second: str, turns: float, arms: int = 1) -> Texture:
    """Stripes that wind around z, `turns` times per unit of height."""

    def texture(x: Vectors) -> Vectors:
        phase = torch.atan2(x[1], x[0]) * (arms / (2 * math.pi)) + turns * x[2]
        return mix((phase % 1 > 0.5).to(x), first, second)

    return texture


def rings(first: str, second: str, count: int) -> Texture:
    """Stripes across a torus."""

    def texture(x: Vectors) -> Vectors:
        phase = torch.atan2(x[1], x[0]) * count / (2 * math.pi)
        return mix((phase % 1 > 0.6).to(x), first, second)

    return texture


def marble(dark: str, light: str, vein: str) -> Texture:
    """Veins where a sum of folded sines passes zero."""

    def texture(x: Vectors) -> Vectors:
        p = x * 4.5
        for octave in range(3):
            p = p + 0.9 / 1.6**octave * torch.sin(1.7**octave * p.roll(1, 0) * 1.3 + octave)
        wave = torch.sin(p[0] + 0.6 * p[2])
        body = mix(0.5 + 0.5 * torch.sin(p[1]), dark, light)
        veins = torch.exp(-((wave / 0.16) ** 2))
        return body + veins * (x.new_tensor(rgb(vein))[:, None] - body)

    return texture


def rosette(first: str, second: str, rim: str) -> Texture:
    """Rings of tiles around a disc's middle, with a rim."""

    def texture(x: Vectors) -> Vectors:
        across = (x[0] ** 2 + x[1] ** 2).sqrt()
        sector = (torch.atan2(x[1], x[0]) * (24 / (2 * math.pi))).floor()
        ring = (across / 0.16).floor()
        tile = (sector + ring) % 2
        # Towards the middle the tiles would be narrower than a pixel.
        share = torch.where(across < 0.32, ring % 2, tile)
        edge = mix(((across > 1.15) & (across < 1.18)).to(x), rim, first)
        return torch.where(across > 1.12, edge, mix(share, first, second))

    return texture
