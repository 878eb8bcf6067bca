"""Where a ray meets a solid: sphere, box, frustum (cylinder, cone, disc) and torus.

Vectors are component-first, (3, ray): a sum of three long rows is fast where a sum over a last
axis of length 3 is not. Shapes stand upright around their own origin; rays start outside them.
Directions have unit length, so that t is a distance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

Vectors = Float[Tensor, "3 #ray"]
INF = math.inf


@runtime_checkable
class Shape(Protocol):
    """A solid in its own coordinates."""

    @property
    def radius(self) -> float:
        """Of a sphere around the origin that holds the shape."""
        ...

    def distance(self, o: Vectors, d: Vectors) -> Float[Tensor, "ray"]:
        """t > 0 of the first point of o + t d on the surface; infinite where the ray misses."""
        ...

    def normal(self, x: Vectors) -> Vectors:
        """Unit outward normals at points on the surface."""
        ...


def dot(a: Tensor, b: Tensor) -> Tensor:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def unit(v: Vectors) -> Vectors:
    return v / dot(v, v).sqrt()


@dataclass(frozen=True)
class Sphere:
    radius: float

    def distance(self, o: Vectors, d: Vectors) -> Tensor:
        # The nearest point of the line to the centre keeps its digits where |o|^2 - r^2 loses them.
        middle = -dot(o, d)
        nearest = o + middle * d
        half_chord = (self.radius**2 - dot(nearest, nearest)).sqrt()  # NaN where it misses
        t = middle - half_chord
        return torch.where(t > 0, t, INF)

    def normal(self, x: Vectors) -> Vectors:
        return unit(x)


@dataclass(frozen=True)
class Box:
    """half: half of its length along each axis."""

    half: tuple[float, float, float]

    @property
    def radius(self) -> float:
        return math.hypot(*self.half)

    def distance(self, o: Vectors, d: Vectors) -> Tensor:
        slabs = [_slab(o[i], d[i], self.half[i]) for i in range(3)]
        enter = torch.maximum(torch.maximum(slabs[0][0], slabs[1][0]), slabs[2][0])
        leave = torch.minimum(torch.minimum(slabs[0][1], slabs[1][1]), slabs[2][1])
        return torch.where((enter < leave) & (enter > 0), enter, INF)

    def normal(self, x: Vectors) -> Vectors:
        relative = x / x.new_tensor(self.half)[:, None]
        axis = relative.abs().argmax(0, keepdim=True)
        return torch.zeros_like(x).scatter(0, axis, relative.gather(0, axis).sign())


@dataclass(frozen=True)
class Frustum:
    """A round solid along z from -half to +half; its radius goes from `bottom` to `top`.

    Equal radii make a cylinder (flat: a disc), top = 0 a cone.
    """

    bottom: float
    top: float
    half: float

    @property
    def radius(self) -> float:
        return math.hypot(max(self.bottom, self.top), self.half)

    @property
    def _profile(self) -> tuple[float, float]:
        """(m, k) of the radius m - k z at height z."""
        return (self.bottom + self.top) / 2, (self.bottom - self.top) / (2 * self.half)

    def distance(self, o: Vectors, d: Vectors) -> Tensor:
        # The side is x^2 + y^2 = (m - k z)^2, a quadratic a t^2 + 2 b t + c = 0 along the ray.
        m, k = self._profile
        r = m - k * o[2]
        a = d[0] * d[0] + d[1] * d[1] - k * k * d[2] * d[2]
        a = torch.where(a.abs() < 1e-7, 1e-7, a)
        b = o[0] * d[0] + o[1] * d[1] + k * d[2] * r
        c = o[0] * o[0] + o[1] * o[1] - r * r
        root = (b * b - a * c).sqrt()  # NaN where the line misses
        first, second = (-b - root) / a, (-b + root) / a
        first, second = torch.minimum(first, second), torch.maximum(first, second)
        # A ray steeper than the side (a < 0) is inside before the first root in one nappe of the
        # double cone and after the second in the other; the lower nappe is ours.
        steep, sinks = a < 0, d[2] * k < 0
        side_enter = torch.where(steep, torch.where(sinks, second, -INF), first)
        side_leave = torch.where(steep, torch.where(sinks, INF, first), second)
        slab_enter, slab_leave = _slab(o[2], d[2], self.half)
        enter = torch.maximum(side_enter, slab_enter)
        leave = torch.minimum(side_leave, slab_leave)
        return torch.where((enter < leave) & (enter > 0), enter, INF)

    def normal(self, x: Vectors) -> Vectors:
        m, k = self._profile
        across = (x[0] ** 2 + x[1] ** 2).sqrt()
        to_side = (across - (m - k * x[2])).abs() / math.hypot(1.0, k)
        is_cap = self.half - x[2].abs() < to_side
        safe = across.clamp_min(1e-9)
        side = torch.stack([x[0] / safe, x[1] / safe, torch.full_like(safe, k)])
        side = side / math.hypot(1.0, k)
        zero = torch.zeros_like(across)
        return torch.where(is_cap, torch.stack([zero, zero, x[2].sign()]), unit(side))


@dataclass(frozen=True)
class Torus:
    """A ring around z: a tube of radius `minor` along a circle of radius `major`."""

    major: float
    minor: float

    @property
    def radius(self) -> float:
        return self.major + self.minor

    def distance(self, o: Vectors, d: Vectors) -> Tensor:
        # Only rays that reach the flat cylinder around the ring are followed, from there on.
        start = Frustum(self.radius, self.radius, self.minor).distance(o, d)
        near = (start < INF).nonzero()[:, 0]
        start[near] = self._follow(o[:, near], d[:, near], start[near])
        return start

    def _follow(self, o: Vectors, d: Vectors, t: Tensor) -> Tensor:
        # Sphere tracing (Hart 1996): the distance to the surface is a safe step. The roots of
        # the quartic lose too many digits in float32. Steps have a least length, or a ray that
        # grazes the tube would creep past it; they lead back where that went inside.
        for _ in range(200 if t.dtype == torch.float64 else 20):
            gap = self._signed_distance(o + t * d)
            t = t + torch.where(gap > 1e-6, gap.clamp_min(self.minor / 20), gap)
        # Newton's method for what is left: steps at grazing angles are short.
        for _ in range(3):
            x = o + t * d
            t = t + self._signed_distance(x) / -dot(self.normal(x), d).clamp(-1, -0.05)
        gap = self._signed_distance(o + t * d)
        return torch.where((gap.abs() < 1e-4) & (t > 0), t, INF)

    def _signed_distance(self, x: Vectors) -> Tensor:
        across = (x[0] * x[0] + x[1] * x[1]).sqrt() - self.major
        return (across * across + x[2] * x[2]).sqrt() - self.minor

    def normal(self, x: Vectors) -> Vectors:
        across = (x[0] ** 2 + x[1] ** 2).sqrt().clamp_min(1e-9)
        circle = torch.stack([x[0], x[1], torch.zeros_like(across)]) * (self.major / across)
        return unit(x - circle)


def _slab(o: Tensor, d: Tensor, half: float) -> tuple[Tensor, Tensor]:
    """Where a ray is between -half and +half along one axis."""
    # A direction of exactly 0 would give 0 / 0 on the slab's face.
    inverse = 1 / torch.where(d.abs() < 1e-12, 1e-12, d)
    centre, width = -o * inverse, half * inverse.abs()
    return centre - width, centre + width
