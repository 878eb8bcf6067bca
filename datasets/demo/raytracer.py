"""A small ray tracer: textured solids, an area light with soft shadows, one mirror bounce.

Nothing random: rays and light samples lie on fixed patterns, so an image is the same each time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from datasets.demo.solids import INF, Shape, Vectors, dot, unit
from geometry.cameras import pixel_to_ray

Colour = tuple[float, float, float]

# Rays traced at once: many, as most calls see the few rays near one solid; bounded for memory.
_CHUNK = 131072
# Secondary rays start this far off the surface, or rounding makes them hit it.
_OFFSET = 2e-3


@dataclass(frozen=True)
class Solid:
    """A shape in its place, and what it is made of.

    Attributes:
        shape: in its own coordinates.
        centre: of the shape in the world.
        texture: linear albedo (3, point) at points of the shape's own coordinates.
        rotation: from the shape's coordinates to the world's, by rows.
        mirror: colour of the reflection seen head on (F0 in Schlick's approximation).
        grazing: how much the reflection grows at grazing angles: 1 polished, 0 matt.
        shade: radius of the sphere that dims the ambient light around the solid; 0 none.
        casts_shadow: False for what all others stand on: tests of it would find nothing.
    """

    shape: Shape
    centre: tuple[float, float, float]
    texture: Callable[[Vectors], Vectors]
    rotation: tuple[Colour, Colour, Colour] = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    mirror: Colour = (0.04, 0.04, 0.04)
    grazing: float = 0.6
    shade: float = 0.0
    casts_shadow: bool = True

    def to_own(self, x: Vectors) -> Vectors:
        return self._rotation(x).T @ (x - self._centre(x))

    def normal(self, x: Vectors) -> Vectors:
        return self._rotation(x) @ self.shape.normal(self.to_own(x))

    def distance(self, o: Vectors, d: Vectors) -> Float[Tensor, "ray"]:
        """t of the first hit; infinite where the ray misses."""
        own = self._rotation(d).T
        return self.shape.distance((own @ (o - self._centre(d))).expand_as(d), own @ d)

    def _rotation(self, like: Tensor) -> Tensor:
        return like.new_tensor(self.rotation)

    def _centre(self, like: Tensor) -> Tensor:
        return like.new_tensor(self.centre)[:, None]


@dataclass(frozen=True)
class Lights:
    """A disc-shaped key light, a fill light without shadow, and a sky."""

    key_centre: tuple[float, float, float] = (3.4, -1.6, 4.0)
    key_radius: float = 0.7
    key_colour: Colour = (1.15, 1.05, 0.90)
    fill_direction: tuple[float, float, float] = (-0.7, 0.5, 0.35)
    fill_colour: Colour = (0.20, 0.16, 0.12)
    sky_colour: Colour = (0.36, 0.38, 0.42)  # ambient light from above
    ground_colour: Colour = (0.25, 0.20, 0.16)  # and from below

    def ambient(self, normal: Vectors) -> Vectors:
        """Light of a hemisphere that is `sky_colour` above and `ground_colour` below."""
        up = 0.5 + 0.5 * normal[2]
        sky, ground = _column(self.sky_colour, normal), _column(self.ground_colour, normal)
        return ground + up * (sky - ground)

    def fit_background(self, d: Vectors) -> Vectors:
        """What a mirror shows where no solid is: a bright sky, the key light, a dim floor."""
        up = d[2].clamp(-1, 1)
        horizon, zenith = _column((0.95, 0.95, 0.95), d), _column((0.42, 0.58, 0.85), d)
        floor = _column((0.30, 0.28, 0.27), d)
        sky = horizon + up.clamp_min(0) * (zenith - horizon)
        ground = floor + (1 + up).clamp(0, 1) ** 6 * (horizon - floor)
        to_key = unit(_column(self.key_centre, d))
        # The light's rim is soft: a hard one would flicker between neighbouring views.
        glow = 9.0 * torch.sigmoid(400 * (dot(d, to_key) - 0.982))
        return torch.where(up > 0, sky, ground) + glow * _column(self.key_colour, d)


@dataclass(frozen=True)
class World:
    """Solids and what lights them; the first solid wins where two surfaces coincide."""

    solids: tuple[Solid, ...]
    lights: Lights = Lights()

    def trace(self, o: Vectors, d: Vectors) -> tuple[Float[Tensor, "ray"], Int[Tensor, "ray"]]:
        """Distance to the first hit (infinite without one), and which solid it is."""
        t = torch.full_like(d[0], INF)
        which = torch.full(t.shape, -1, dtype=torch.int64)
        # Most rays pass far from a solid: only those through its bounding sphere are solved.
        centres = d.new_tensor([solid.centre for solid in self.solids]).reshape(-1, 3)
        bounds = d.new_tensor([1.01 * solid.shape.radius for solid in self.solids])[:, None]
        along = centres @ d - dot(o, d)
        distance2 = (centres * centres).sum(1, keepdim=True) - 2 * centres @ o + dot(o, o)
        near = (distance2 - along * along < bounds * bounds) & (along > -bounds)
        for index, solid in enumerate(self.solids):
            rays = near[index].nonzero()[:, 0]
            if not len(rays):
                continue
            candidate = solid.distance(o if o.shape[1] == 1 else o[:, rays], d[:, rays])
            closest = t[rays]
            t[rays] = torch.minimum(candidate, closest)
            which[rays] = torch.where(candidate < closest, index, which[rays])
        return t, which

    def colour(
        self, o: Vectors, d: Vectors, light_samples: Float[Tensor, "sample 2"], bounce: bool = True
    ) -> tuple[Vectors, Bool[Tensor, "ray"]]:
        """Linear colours of rays and whether they hit; black where they miss.

        Args:
            light_samples: points of the unit disc that the key light's shadow is taken from.
            bounce: follow mirror reflections once.
        """
        t, which = self.trace(o, d)
        hit = which >= 0
        out = torch.zeros_like(d)
        if hit.any():
            o = o.expand_as(d)[:, hit]
            d, t, which = d[:, hit], t[hit], which[hit]
            out[:, hit] = self._shade(o + t * d, d, which, light_samples, bounce)
        return out, hit

    def _shade(
        self, x: Vectors, d: Vectors, which: Tensor, light_samples: Tensor, bounce: bool
    ) -> Vectors:
        normal, albedo, mirror = torch.empty_like(x), torch.empty_like(x), torch.empty_like(x)
        grazing = torch.empty_like(x[0])
        for index, solid in enumerate(self.solids):
            mine = (which == index).nonzero()[:, 0]
            if len(mine):
                points = x[:, mine]
                normal[:, mine] = solid.normal(points)
                albedo[:, mine] = solid.texture(solid.to_own(points))
                mirror[:, mine] = _column(solid.mirror, x)
                grazing[mine] = solid.grazing
        lights, start = self.lights, x + _OFFSET * normal
        key = self._key_light(start, normal, light_samples)
        fill = dot(normal, unit(_column(lights.fill_direction, x))).clamp_min(0)
        light = key * _column(lights.key_colour, x) + fill * _column(lights.fill_colour, x)
        light = light + self._open_sky(x, normal) * lights.ambient(normal)
        colour = albedo * light
        if not bounce:
            return colour
        facing = -dot(normal, d).clamp(-1, 0)
        reflectance = mirror + (1 - mirror) * grazing * (1 - facing) ** 5  # Schlick 1994
        reflected = d + 2 * facing * normal
        shiny = (reflectance[0] > 0).nonzero()[:, 0]
        if len(shiny):
            start, reflected, share = start[:, shiny], reflected[:, shiny], reflectance[:, shiny]
            seen, hit = self.colour(start, reflected, light_samples[:1] * 0, bounce=False)
            seen = torch.where(hit, seen, lights.fit_background(reflected))
            colour[:, shiny] += share * (seen - colour[:, shiny])
        return colour

    def _key_light(self, x: Vectors, normal: Vectors, samples: Tensor) -> Float[Tensor, "point"]:
        """Lambert's cosine times the share of the key light that a point sees."""
        lights = self.lights
        centre = _column(lights.key_centre, x)
        cosine = dot(normal, unit(centre - x)).clamp_min(0)
        lit = (cosine > 0).nonzero()[:, 0]
        if not len(lit):
            return cosine
        casters = World(tuple(solid for solid in self.solids if solid.casts_shadow))
        # Two axes across the light, which faces the origin.
        axis = unit(centre)
        right = unit(torch.linalg.cross(centre.new_tensor([[0.0], [0.0], [1.0]]), axis, dim=0))
        up = torch.linalg.cross(axis, right, dim=0)
        x, seen = x[:, lit], torch.zeros_like(lit, dtype=x.dtype)
        for a, b in (lights.key_radius * samples).tolist():
            # From the light to the point: one origin for all rays costs less.
            source = centre + a * right + b * up
            length = dot(x - source, x - source).sqrt()
            first, _ = casters.trace(source, (x - source) / length)
            seen += first >= length
        cosine[lit] *= seen / len(samples)
        return cosine

    def _open_sky(self, x: Vectors, normal: Vectors) -> Float[Tensor, "point"]:
        """Ambient occlusion: a sphere takes (r / distance)^2 cos(angle) of a hemisphere's light.

        Exact for one sphere above the horizon; several multiply.
        """
        open_sky = torch.ones_like(x[0])
        for solid in self.solids:
            if solid.shade:
                to_centre = _column(solid.centre, x) - x
                distance2 = dot(to_centre, to_centre)
                cosine = dot(to_centre, normal).clamp_min(0) / distance2.sqrt()
                open_sky *= 1 - (solid.shade**2 / distance2).clamp_max(1) * cosine
        return open_sky


@torch.inference_mode()
def render(
    world: World,
    c2w: Float[Tensor, "view 3 4"],
    intrinsics: Float[Tensor, "4"],
    size: tuple[int, int],
    supersampling: int,
) -> Float[Tensor, "view height width 4"]:
    """RGBA of some cameras, display-encoded (sRGB), alpha not multiplied in.

    Args:
        size: width and height in pixels.
        supersampling: rays along each side of a pixel.
    """
    width, height = size
    total = torch.zeros(4, len(c2w) * height * width)
    for index, pattern in enumerate(_light_patterns(supersampling**2)):
        row, column = divmod(index, supersampling)
        offset = ((column + 0.5) / supersampling, (row + 0.5) / supersampling)
        o, d = _camera_rays(c2w, intrinsics, size, offset)
        for start in range(0, d.shape[1], _CHUNK):
            part = slice(start, start + _CHUNK)
            rgb, hit = world.colour(o[:, part], d[:, part], pattern)
            # Encoded before the mean, as the loader's mean with the background is.
            total[:3, part] += encode(rgb)
            total[3, part] += hit
    rgb = total[:3] / total[3].clamp_min(1)
    alpha = total[3:] / supersampling**2
    return torch.cat([rgb, alpha]).T.reshape(len(c2w), height, width, 4)


@torch.inference_mode()
def render_depth(
    world: World,
    c2w: Float[Tensor, "view 3 4"],
    intrinsics: Float[Tensor, "4"],
    size: tuple[int, int],
) -> Float[Tensor, "view height width"]:
    """Distance along the ray through each pixel's centre, in float64; 0 where nothing is hit."""
    width, height = size
    t, which = world.trace(*_camera_rays(c2w.double(), intrinsics.double(), size, (0.5, 0.5)))
    return torch.where(which >= 0, t, 0.0).reshape(len(c2w), height, width)


def encode(linear: Tensor) -> Tensor:
    """Linear light to sRGB (IEC 61966-2-1), in [0, 1]."""
    x = linear.clamp(0, 1)
    return torch.where(x <= 0.0031308, 12.92 * x, 1.055 * x.clamp_min(1e-6) ** (1 / 2.4) - 0.055)


def _camera_rays(
    c2w: Tensor, intrinsics: Tensor, size: tuple[int, int], offset: tuple[float, float]
) -> tuple[Vectors, Vectors]:
    """Origins and unit directions, row by row, through the point `offset` of each pixel."""
    width, height = size
    v, u = torch.meshgrid(
        torch.arange(height, dtype=c2w.dtype) + offset[1],
        torch.arange(width, dtype=c2w.dtype) + offset[0],
        indexing="ij",
    )
    uv = torch.stack([u.reshape(-1), v.reshape(-1)], dim=-1)
    o, d = pixel_to_ray(intrinsics, c2w[:, None], uv.expand(len(c2w), -1, 2))
    return o.reshape(-1, 3).T.contiguous(), d.reshape(-1, 3).T.contiguous()


def _light_patterns(count: int, each: int = 2) -> Float[Tensor, "pattern sample 2"]:
    """`count` sets of points that together fill the unit disc evenly (Vogel's spiral)."""
    index = torch.arange(count * each, dtype=torch.float64)
    r, angle = ((index + 0.5) / len(index)).sqrt(), index * math.pi * (3 - math.sqrt(5))
    points = torch.stack([r * angle.cos(), r * angle.sin()], dim=-1)
    # Each set takes an inner and an outer point.
    return points.reshape(each, count, 2).transpose(0, 1).float()


def _column(values: tuple[float, float, float], like: Tensor) -> Float[Tensor, "3 1"]:
    return like.new_tensor(values)[:, None]
