"""Paths around a subject: a circle that follows the photos, an arc before it, a dome.

The path is a curve over azimuth. At each azimuth it looks for the elevation that the photos were
taken from, and there for their distance and for where in the picture they had the subject.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float

from geometry.capture_kind import horizontal_axes
from geometry.poses import Poses, look_at
from paths.level import level
from paths.nearness import NEAR, Points, between, directions, distance_range
from paths.path import Frames
from paths.route import cheapest_route, longest_run
from paths.smooth import blur, sample, swing, within

# Columns of the search, rows of it (degrees), and samples of the curve that comes of it.
_COLUMN, _ROW, _SAMPLES = 5.0, 2.5, 360
_ELEVATIONS = np.arange(-80.0, 80.1, _ROW)
# Nearness that the search asks for: smoothing takes a little of it.
_SEARCHED = NEAR - 1.0

# Which of positions are in free space.
Free = Callable[[Points], Bool[np.ndarray, "point"]]


@dataclass(frozen=True)
class Around:
    """Cameras as seen from their subject.

    Attributes:
        poses: upright training cameras.
        subject, up: in scene units.
        free: tells free space; None where nothing is known.
        raised: degrees that the path is to be raised.
        radius: factor on the photos' distance.
        shrink: 0 to 1: how much of a wide path is given up to stay nearer to the photos.
    """

    poses: Poses
    subject: Float[np.ndarray, "3"]
    up: Float[np.ndarray, "3"]
    free: Free | None = None
    raised: float = 0.0
    radius: float = 1.0
    shrink: float = 0.0

    @property
    def seen(self) -> tuple[Points, Float[np.ndarray, "camera"]]:
        """Unit directions from the subject to the cameras, and their distances."""
        return directions(self.poses[:, :, 3], self.subject)

    def direction(
        self, azimuth: np.ndarray, elevation: np.ndarray
    ) -> Float[np.ndarray, "*place 3"]:
        """Unit vectors at angles in degrees."""
        first, second = horizontal_axes(self.up)
        a, e = np.radians(azimuth)[..., None], np.radians(elevation)[..., None]
        flat = np.cos(a) * first + np.sin(a) * second
        return np.cos(e) * flat + np.sin(e) * self.up

    def angles_of(self, direction: Points) -> tuple[np.ndarray, np.ndarray]:
        """Azimuth and elevation of unit vectors, in degrees."""
        first, second = horizontal_axes(self.up)
        azimuth = np.degrees(np.arctan2(direction @ second, direction @ first))
        return azimuth, np.degrees(np.arcsin(np.clip(direction @ self.up, -1, 1)))

    @cached_property
    def blocked(self) -> Bool[np.ndarray, "column row"]:
        """Where in the search's table, near the photos and at their distance, is no free space."""
        columns = np.arange(0, 360, _COLUMN)
        grid = self.direction(columns[:, None], _ELEVATIONS[None, :]).reshape(-1, 3)
        result = np.zeros(len(grid), dtype=bool)
        if self.free is not None:
            seen, distance = self.seen
            angle = between(grid, seen)
            near = angle.min(1) <= _SEARCHED
            low, high = distance_range(angle[near], distance)
            result[near] = ~self.free(self.subject + grid[near] * ((low + high) / 2)[:, None])
        return result.reshape(len(columns), -1)


@dataclass(frozen=True)
class Curve:
    """Elevation, distance and where to look over azimuth, all in degrees but the distance."""

    azimuth: Float[np.ndarray, "sample"]
    elevation: Float[np.ndarray, "sample"]
    distance: Float[np.ndarray, "sample"]
    aside: Float[np.ndarray, "sample 2"]  # of the optical axis: to the right, upwards
    closed: bool


def orbit(around: Around, n_frames: int) -> Frames:
    """Once around, at the elevation and distance that the photos have at each azimuth."""
    curve = _curve(around, _widest_route(around), (0.0, 360.0))
    return _fly(around, curve, np.arange(n_frames) * len(curve.azimuth) / n_frames)


def dome(around: Around, n_frames: int) -> Frames:
    """Once around, rising to the highest photos and sinking to the lowest as they allow."""
    _, elevation = around.angles_of(around.seen[0])
    low, middle, high = np.percentile(elevation, [12, 50, 88])
    columns = np.arange(0, 360, _COLUMN)
    best: tuple[float, np.ndarray] | None = None
    for start in range(0, 360, 30):
        wave = np.cos(np.radians(columns - start))
        half = (high - low) / 2 * (1 - around.shrink)
        centre = (high + low) / 2 * (1 - around.shrink) + middle * around.shrink
        route, cost = _route_cost(around, centre + half * wave)
        if best is None or cost < best[0]:
            best = cost, route
    assert best is not None
    curve = _curve(around, best[1], (0.0, 360.0))
    return _fly(around, curve, np.arange(n_frames) * len(curve.azimuth) / n_frames)


def arc(around: Around, n_frames: int) -> Frames:
    """Back and forth over the widest azimuth that photos cover without a gap."""
    route = _widest_route(around)
    curve = _curve(around, route, _covered(around, route))
    if curve.closed:  # all of it is covered: a swing over the half that starts at the first photo
        azimuth, _ = around.angles_of(around.seen[0])
        curve = _curve(around, route, (azimuth[0] - 90, azimuth[0] + 90))
    way = swing(n_frames)
    middle = (len(curve.azimuth) - 1) / 2
    at = middle + (2 * way - 1) * middle * (1 - around.shrink)
    # There a little higher, back a little lower: no frame comes twice, and the turns are round.
    raised = _height_to_spare(around, curve) * np.sin(2 * np.pi * np.arange(n_frames) / n_frames)
    return _fly(around, curve, at, raised * (1 - around.shrink))


def covered(around: Around) -> float:
    """Degrees of azimuth that the photos cover without a gap; 360 is all around."""
    first, last = _covered(around, _widest_route(around))
    return last - first


def _covered(around: Around, route: Float[np.ndarray, "column"]) -> tuple[float, float]:
    """First and last azimuth, in degrees, of what photos along a route cover without a gap."""
    columns = np.arange(0, 360, _COLUMN)
    near = between(around.direction(columns, route), around.seen[0]).min(1)
    run = longest_run(near <= _SEARCHED)
    if run is None:
        return 0.0, 0.0
    first, count = run
    if count == len(columns):
        return 0.0, 360.0
    start, end = columns[first], columns[first] + _COLUMN * (count - 1)
    # No farther than the outermost photos beside it: what lies beyond them, one photo saw.
    azimuth, elevation = around.angles_of(around.seen[0])
    turned = (azimuth - (start + end) / 2 + 180) % 360 + (start + end) / 2 - 180
    run_at = start + _COLUMN * np.arange(count)
    at = np.interp(turned, run_at, np.roll(route, -first)[:count])
    beside = (turned > start - 15) & (turned < end + 15) & (np.abs(elevation - at) <= NEAR)
    if beside.any():
        inner = max(start, turned[beside].min()), min(end, turned[beside].max())
        if inner[1] - inner[0] >= 10:
            return inner
    # Photos too few for that: a small swing about the one in the middle.
    return start, end


def _widest_route(around: Around) -> Float[np.ndarray, "column"]:
    """The route of those at several elevations along which photos cover the widest azimuth.

    Photos from low and from high, with gaps in both rows, have one in between that goes farther.
    """
    _, elevation = around.angles_of(around.seen[0])
    usual = _usual_elevation(around)
    wanted = [usual, *(0 * usual + e for e in np.percentile(elevation, [50, 30, 70, 15, 85]))]
    best, widest = None, -1.0
    for i, each in enumerate(wanted):
        route = _route(around, each)
        first, last = _covered(around, route)
        # The first is preferred: another must be wider by far.
        width = last - first + (25.0 if i == 0 else 0.0)
        if width > widest:
            best, widest = route, width
    assert best is not None
    return best


def _usual_elevation(around: Around) -> Float[np.ndarray, "column"]:
    """The median elevation of the photos at each azimuth, of all where there is none."""
    azimuth, elevation = around.angles_of(around.seen[0])
    columns = np.arange(0, 360, _COLUMN)
    away = np.abs((azimuth - columns[:, None] + 180) % 360 - 180)
    weight = np.exp(-0.5 * (away / 25) ** 2)
    usual = float(np.median(elevation))
    local = (weight @ elevation + 0.1 * usual) / (weight.sum(1) + 0.1)
    return 0.5 * local + 0.5 * usual


def _route(around: Around, wanted: Float[np.ndarray, "column"]) -> Float[np.ndarray, "column"]:
    return _route_cost(around, wanted)[0]


def _route_cost(
    around: Around, wanted: Float[np.ndarray, "column"]
) -> tuple[Float[np.ndarray, "column"], float]:
    """The elevation at each column that is near photos, and near what is wanted."""
    columns = np.arange(0, 360, _COLUMN)
    grid = around.direction(columns[:, None], _ELEVATIONS[None, :])
    angle = between(grid.reshape(-1, 3), around.seen[0])
    nearest = np.sort(angle, axis=1)[:, :2]
    cost = (np.maximum(nearest[:, 0] - 7, 0) / 3) ** 2
    cost += np.where(nearest[:, 0] > _SEARCHED, 30 + nearest[:, 0], 0.0)
    cost += (np.maximum(nearest[:, -1] - 12, 0) / 6) ** 2
    cost = cost.reshape(len(columns), -1)
    # A side without photos must not draw the route on the others to itself, over a pole.
    cost[nearest[:, 0].reshape(cost.shape).min(1) > _SEARCHED] = 0.0
    cost += ((_ELEVATIONS - wanted[:, None]) / 12) ** 2
    cost += 50.0 * around.blocked
    rows, total = cheapest_route(cost, steepest=1, price=0.15)
    return _ELEVATIONS[rows], total


def _curve(around: Around, route: Float[np.ndarray, "column"], part: tuple[float, float]) -> Curve:
    """The smooth curve along a route, from the first azimuth to the last."""
    closed = bool(part[1] - part[0] >= 360)
    count = _SAMPLES if closed else max(round(part[1] - part[0]) + 1, 13)
    azimuth = np.linspace(part[0], part[1], count, endpoint=not closed)
    columns = np.arange(0, 360, _COLUMN)
    seen, distance = around.seen
    rough = np.interp(azimuth % 360, [*columns, 360.0], [*route, route[0]])
    sigma = min(14.0, count / 6)
    elevation = within(rough, *_near_elevations(around, azimuth, rough), sigma, closed)
    elevation = np.clip(elevation + around.raised, -80, 80)
    direction = around.direction(azimuth, elevation)
    angle = between(direction, seen)
    weight = np.exp(-0.5 * (np.maximum(angle - angle.min(1, keepdims=True), 0) / 10) ** 2)
    weight /= weight.sum(1, keepdims=True)
    low, high = distance_range(angle, distance)
    # Nearer the far ones: who comes close for some of the photos shows the subject whole in others.
    usual = weight @ distance
    usual = 0.7 * usual + 0.3 * np.minimum(
        high, usual + np.sqrt(weight @ distance**2 - usual**2 + 1e-12)
    )
    margin = 0.02 * (high - low)
    far = within(usual, low + margin, high - margin, sigma, closed)
    if around.free is not None:
        far = _freed(around, direction, far, low + margin, high - margin, sigma, closed)
    aside = blur(weight @ _aside(around), sigma, closed)
    return Curve(azimuth, elevation, far * around.radius, np.clip(aside, -15, 15), closed)


def _near_elevations(
    around: Around, azimuth: Float[np.ndarray, "sample"], elevation: Float[np.ndarray, "sample"]
) -> tuple[Float[np.ndarray, "sample"], Float[np.ndarray, "sample"]]:
    """How far down and up from `elevation` one is still near photos, at each azimuth."""
    steps = np.arange(-25, 25.1, 0.5)
    middle = len(steps) // 2
    direction = around.direction(azimuth[:, None], elevation[:, None] + steps)
    angle = between(direction.reshape(-1, 3), around.seen[0]).min(1).reshape(len(azimuth), -1)
    near = angle <= NEAR - 0.1
    down = np.logical_and.accumulate(near[:, middle::-1], axis=1).sum(1)
    up = np.logical_and.accumulate(near[:, middle:], axis=1).sum(1)
    # Where nothing is near, no bound.
    lost = ~near[:, middle]
    down, up = (
        np.where(lost, middle, np.maximum(down - 1, 0)),
        np.where(lost, middle, np.maximum(up - 1, 0)),
    )
    return elevation - 0.5 * down, elevation + 0.5 * up


def _freed(
    around: Around,
    direction: Points,
    far: Float[np.ndarray, "sample"],
    low: Float[np.ndarray, "sample"],
    high: Float[np.ndarray, "sample"],
    sigma: float,
    closed: bool,
) -> Float[np.ndarray, "sample"]:
    """Distances moved to where space is free, in the range that the photos have."""
    assert around.free is not None
    every = slice(None, None, 3)
    if around.free((around.subject + direction * far[:, None])[every]).all():
        return far
    share = np.linspace(0, 1, 9)
    tried = low[every, None] + share * (high - low)[every, None]
    places = around.subject + direction[every, None] * tried[:, :, None]
    free = around.free(places.reshape(-1, 3)).reshape(tried.shape)
    # Back, away from the subject, before nearer.
    away = tried - far[every, None]
    price = np.where(away >= 0, away, -3 * away) + np.where(free, 0, np.inf)
    chosen = price.argmin(1)
    spans = [_span(row, int(start)) for row, start in zip(free, chosen, strict=True)]
    samples = np.arange(len(far)) // 3
    bounds = [tried[np.arange(len(tried)), end][samples] for end in np.array(spans).T]
    return within(far, bounds[0], bounds[1], sigma, closed)


def _span(free: Bool[np.ndarray, "place"], start: int) -> tuple[int, int]:
    """First and last of the free places in a row with `start`; all of them if none is."""
    if not free[start]:
        return 0, len(free) - 1
    first = last = start
    while first > 0 and free[first - 1]:
        first -= 1
    while last < len(free) - 1 and free[last + 1]:
        last += 1
    return first, last


def _aside(around: Around) -> Float[np.ndarray, "camera 2"]:
    """Degrees that each photo's axis points beside the subject: to the right, and upwards."""
    result = np.empty((len(around.poses), 2))
    for i, pose in enumerate(around.poses):
        facing = look_at(pose[:, 3], around.subject, around.up)
        x, y, z = -pose[:, 2] @ facing[:, :3]
        result[i] = np.degrees([np.arctan2(x, -z), np.arctan2(y, np.hypot(x, z))])
    return result


def _height_to_spare(around: Around, curve: Curve) -> float:
    """Degrees up and down that photos beside an arc leave, 5 at most."""
    seen, _ = around.seen
    _, elevation = around.angles_of(seen)
    angle = between(around.direction(curve.azimuth, curve.elevation), seen)
    index = angle.argmin(0)
    beside = angle.min(0) < NEAR
    most = (
        min(5.0, float((elevation - curve.elevation[index])[beside].std())) if beside.any() else 0
    )
    for half in np.linspace(most, 0, 5):
        farthest = [
            between(around.direction(curve.azimuth, curve.elevation + sign * half), seen)
            .min(1)
            .max()
            for sign in (-1, 1)
        ]
        if max(farthest) < NEAR - 0.5:
            return float(half)
    return 0.0


def _fly(
    around: Around,
    curve: Curve,
    at: Float[np.ndarray, "frame"],
    raised: Float[np.ndarray, "frame"] | None = None,
) -> Frames:
    """Cameras at fractional indices of a curve, their horizon level."""
    step = 360 / len(curve.azimuth) if curve.closed else np.diff(curve.azimuth)[0]
    azimuth = curve.azimuth[0] + at * step
    values = np.column_stack([curve.elevation, curve.distance, curve.aside])
    elevation, distance, right, over = sample(values, at, curve.closed).T
    if raised is not None:
        elevation = elevation + raised
    direction = around.direction(azimuth, elevation)
    if raised is not None:  # as near and as far as photos are there
        low, high = distance_range(between(direction, around.seen[0]), around.seen[1])
        wanted = distance / around.radius
        distance = around.radius * within(wanted, low, high, len(at) / 30, True)
    positions = around.subject + direction * distance[:, None]
    facing = level(positions, around.subject - positions, around.up)
    r, o = np.radians(right), np.radians(over)
    local = np.stack([np.sin(r) * np.cos(o), np.sin(o), -np.cos(r) * np.cos(o)], axis=1)
    return level(positions, np.einsum("nij,nj->ni", facing[:, :, :3], local), around.up)
