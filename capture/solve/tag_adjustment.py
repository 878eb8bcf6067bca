"""Poses from tags alone: all corners of all tags in all photos, placed and adjusted together.

Tag by tag, and photo by photo, both sides from which it may be seen (tag_chain.py) are adjusted
to what is there already, and the better one is kept. Then all are adjusted (tag_bundle.py), and
looked at again. Left out is what does not fit, and what may as well be seen from the other side.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from capture.checks.check import TAG_APART, TAG_TWO_SIDED, TAG_UNFIT
from capture.solve.aruco import TagCamera, TagPose, Tags, most_seen
from capture.solve.tag_bundle import Bundle, State
from capture.solve.tag_chain import SOFT, Chain, Rigid, apart

# Corners farther off than this, in standard deviations of all, are wrong detections: of a million
# with normal noise, four are. But no corner is wrong below the first bound, and none is right
# above the second, in long sides of the photo.
_WRONG, _RIGHT, _FAR = 5.0, SOFT, 0.004
# Standard deviation that corners have at least, in long sides of the photo: 0.1 pixels at 1600.
_SHARP = SOFT / 8
_FEWEST = 3  # corners of a tag that place it, or its photo
_ROUNDS = 3  # of adjusting, and of leaving out what does not fit
_TOGETHER = 40  # photos that a tag is placed by, at most
# The other side is possible if it is less than 100 times less likely (twice the logarithm).
_LIKELY = 9.0


@dataclass(frozen=True)
class Adjustment:
    """Photos and tags in the frame of the first tag.

    Attributes:
        first: id of the tag whose frame it is.
        camera: with the refined focal length and radial term; its error is that of all corners
            that are kept.
        photos: of each photo that is placed, with the error of its corners.
        tags: tag to world, by their ids.
        kept: of each tag in each placed photo, whether each of its corners fits.
        lost: why a photo that shows tags is not placed.
    """

    first: int
    camera: TagCamera
    photos: dict[str, TagPose]
    tags: dict[int, Rigid]
    kept: dict[str, dict[int, Bool[np.ndarray, "4"]]]
    lost: dict[str, str]


def adjust_tags(camera: TagCamera, tags: Tags, tag_size: float) -> Adjustment:
    """Place the photos that show tags, and the tags, in the frame of the tag that most show.

    Args:
        camera: as calibrated.
        tags: that each photo shows.
        tag_size: side of each tag; lengths are in its unit.

    Raises UserError where no photo shows a tag.
    """
    work = _Work(camera, tags, tag_size)
    first, _ = most_seen([view.seen for view in work.chain.views.values()])
    places: dict[int, Rigid] = {first: np.eye(4)}
    while (tag := work.chain.next(places)) is not None:
        places[tag] = work.tag(tag, places).pose
    names = [name for name, view in work.chain.views.items() if view.seen.keys() & places]
    photos = {name: work.photo(name, places).pose for name in names}
    bundle = work.bundle(names, list(places), fixed=[first])
    kept = np.ones(len(bundle.seen), dtype=bool)
    state, margin = _on_its_side(bundle, work.state(photos, places))
    for _ in range(_ROUNDS):
        state = bundle.only(kept).minimize(state)
        kept, deviation = _fitting(bundle, state, kept, max(camera.size))
        work.lens = state.lens
        places = dict(zip(places, state.tags, strict=True))
        photos = dict(zip(photos, state.photos, strict=True))
        by_tag = {tag: work.tag(tag, places, places[tag]) for tag in places if tag != first}
        places |= {tag: side.pose for tag, side in by_tag.items()}
        by_photo = {name: work.photo(name, places, photos[name]) for name in names}
        photos |= {name: side.pose for name, side in by_photo.items()}
        state = work.state(photos, places)

    likely = _LIKELY * (deviation / bundle.soft) ** 2
    doubtful: set[int | str] = {tag for tag, side in by_tag.items() if side.margin < likely}
    doubtful |= {name for name in names if min(margin, by_photo[name].margin) < likely}
    lost = _lost(bundle, kept, names, list(places), doubtful)
    kept &= ~np.isin(bundle.photo, [i for i, name in enumerate(names) if name in lost])
    state = bundle.only(kept).minimize(state)
    for name in tags.keys() - names:
        if tags[name]:
            lost[name] = TAG_APART if work.chain.views[name].seen else TAG_UNFIT
    return _result(camera, bundle, state, kept, list(places), names, lost)


@dataclass(frozen=True)
class _Side:
    """A pose, and by how much more the one from another side costs."""

    pose: Rigid
    margin: float


class _Work:
    """Places tags and photos by what is placed already.

    Attributes:
        chain: where they may be.
        lens: the logarithm of the focal length and k1, as far as they are known.
    """

    def __init__(self, camera: TagCamera, tags: Tags, tag_size: float) -> None:
        self.chain = Chain.of(camera, tags, tag_size)
        self.lens = np.array([np.log(camera.matrix[0, 0]), camera.distortion[0]])
        self._camera, self._tags = camera, tags

    def bundle(self, names: list[str], ids: list[int], fixed: Collection[int]) -> Bundle:
        """The corners of tags in photos."""
        rows = [
            (i, ids.index(tag), self._tags[name][tag])
            for i, name in enumerate(names)
            for tag in self.chain.views[name].seen
            if tag in ids
        ]
        photo, tag, seen = zip(*rows, strict=True)
        return Bundle(
            np.repeat(photo, 4),
            np.repeat(tag, 4),
            np.tile(self.chain.square, (len(rows), 1)),
            np.concatenate(seen) - self._camera.matrix[:2, 2],
            SOFT * max(self._camera.size),
            np.isin(ids, list(fixed)),
            self.lens,
        )

    def state(self, photos: Mapping[str, Rigid], places: Mapping[int, Rigid]) -> State:
        """Photos and tags in their order."""
        return State(np.stack(list(photos.values())), np.stack(list(places.values())), self.lens)

    def tag(self, tag: int, places: Mapping[int, Rigid], now: Rigid | None = None) -> _Side:
        """A tag by the photos that show it with others, which stay where they are."""
        names = self.chain.together(tag, places)
        names = names[:: 1 + len(names) // _TOGETHER]
        shown = {other for name in names for other in self.chain.views[name].seen}
        world = {other: pose for other, pose in places.items() if other in shown - {tag}}
        bundle = self.bundle(names, [*world, tag], fixed=world)
        sides = []
        for place in _starts(now, self.chain.tag(tag, places, names)):
            for _ in range(2):  # since the adjusted tag may put photos on their other side
                all_tags = {**world, tag: place}
                photos = {name: self.chain.photo(name, all_tags)[0] for name in names}
                state = bundle.minimize(self.state(photos, all_tags))
                place = state.tags[-1]
            sides.append((bundle.cost(state), place))
        return _side(sides)

    def photo(self, name: str, places: Mapping[int, Rigid], now: Rigid | None = None) -> _Side:
        """A photo by its tags, which stay where they are."""
        world = {tag: places[tag] for tag in self.chain.views[name].seen if tag in places}
        bundle = self.bundle([name], list(world), fixed=world)
        sides = []
        for pose in _starts(now, self.chain.photo(name, world)):
            state = bundle.minimize(self.state({name: pose}, world))
            sides.append((bundle.cost(state), state.photos[0]))
        return _side(sides)


def _starts(now: Rigid | None, tries: Iterable[Rigid]) -> list[Rigid]:
    """The present pose, if there is one, and those from other sides."""
    return list(tries) if now is None else [now, *(pose for pose in tries if apart(pose, now))]


def _side(sides: list[tuple[float, Rigid]]) -> _Side:
    cost, best = min(sides, key=lambda side: side[0])
    others = [other - cost for other, pose in sides if apart(pose, best)]
    return _Side(best, min(others, default=np.inf))


def _on_its_side(bundle: Bundle, start: State) -> tuple[State, float]:
    """The better one of a state and its mirror image, adjusted; and what the other costs more."""
    states = [bundle.minimize(state) for state in (start, start.mirrored())]
    costs = [bundle.cost(state) for state in states]
    pairs = zip(states[0].photos, states[1].photos, strict=True)
    other = any(apart(first, second) for first, second in pairs)
    return states[int(np.argmin(costs))], abs(costs[1] - costs[0]) if other else np.inf


def _fitting(
    bundle: Bundle, state: State, kept: Bool[np.ndarray, "corner"], size: int
) -> tuple[Bool[np.ndarray, "corner"], float]:
    """Which corners fit, and the standard deviation of a coordinate of those that do."""
    off = bundle.residuals(state)
    if not kept.any():
        kept = ~kept
    unknown = 6 * (len(state.photos) + len(state.tags)) - 4
    free = max(1, 2 * kept.sum() - unknown) / (2 * kept.sum())
    # From the median (Huber, 1981), with what the unknowns take of it.
    deviation = max(1.4826 * np.median(np.abs(off[kept])) / np.sqrt(free), _SHARP * size)
    bound = np.clip(_WRONG * deviation, _RIGHT * size, _FAR * size)
    return np.linalg.norm(off, axis=1) < bound, float(deviation)


def _lost(
    bundle: Bundle,
    kept: Bool[np.ndarray, "corner"],
    names: list[str],
    ids: list[int],
    doubtful: Collection[int | str],
) -> dict[str, str]:
    """The photos that cannot be believed, and why: misfits, and what hangs on what is doubtful."""
    count = np.zeros((len(names), len(ids)), dtype=int)
    fit = count.copy()
    np.add.at(count, (bundle.photo, bundle.tag), 1)
    np.add.at(fit, (bundle.photo, bundle.tag), kept)
    good = fit.sum(axis=1) >= np.maximum(_FEWEST + 1, count.sum(axis=1) / 2)
    lost = {name: TAG_UNFIT for name, fits in zip(names, good, strict=True) if not fits}
    lost |= {name: TAG_TWO_SIDED for name in names if name in doubtful and name not in lost}
    shows = fit >= _FEWEST
    shows[[i for i, name in enumerate(names) if name in lost]] = False
    certain = np.array([tag not in doubtful for tag in ids])
    reached, before = np.arange(len(ids)) == 0, -1
    while reached.sum() > before:
        before = reached.sum()
        reached |= shows[shows[:, reached].any(axis=1)].any(axis=0) & certain
    for name, tags in zip(names, shows, strict=True):
        if name not in lost and not tags[reached].any():
            lost[name] = TAG_APART if tags[certain].any() else TAG_TWO_SIDED
    return lost


def _result(
    camera: TagCamera,
    bundle: Bundle,
    state: State,
    kept: Bool[np.ndarray, "corner"],
    ids: list[int],
    names: list[str],
    lost: dict[str, str],
) -> Adjustment:
    squares = (bundle.residuals(state) ** 2).sum(axis=1)
    matrix = camera.matrix.copy()
    matrix[[0, 1], [0, 1]] = np.exp(state.lens[0])
    lens = np.array([state.lens[1], 0, 0, 0])
    photos, fits = {}, {}
    for i, (name, pose) in enumerate(zip(names, state.photos, strict=True)):
        if name in lost:
            continue
        error = _root_mean(squares[kept & (bundle.photo == i)])
        photos[name] = TagPose(pose[:3, :3], pose[:3, 3], error)
        fits[name] = {
            ids[j]: kept[(bundle.photo == i) & (bundle.tag == j)]
            for j in np.unique(bundle.tag[bundle.photo == i])
        }
    refined = replace(camera, matrix=matrix, distortion=lens, error=_root_mean(squares[kept]))
    return Adjustment(ids[0], refined, photos, dict(zip(ids, state.tags, strict=True)), fits, lost)


def _root_mean(squares: Float[np.ndarray, "corner"]) -> float:
    return float(np.sqrt(squares.mean())) if len(squares) else np.inf
