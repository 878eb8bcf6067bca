"""Whether a solve agrees with the matches that it was made from.

A wrong solve reprojects its own points well, for it leaves out what does not fit. What it left out
tells: photos that match strongly, by the geometry of the two alone, and that the poses nevertheless
put where these matches cannot be. The usual cause is sides that look alike, laid on top of each
other (Heinly, Dunn, Frahm: Correcting for Duplicate Scene Structure, 2014).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pycolmap
from jaxtyping import Float, Int

from datasets.sparse.model import registered

STRONG = 30  # inliers of the two-view geometry from which a pair is strongly matched
NEXT = 2  # places in the order of a walk up to which photos are neighbours
MATCHED = 15  # inliers under which two photos have nothing to do with each other
_OFF = 0.02  # of the long side: a match whose point comes to lie farther off does not fit
_TESTED = 10  # matches with a point, under which the epipolar lines are asked
_CLOSEST = 3  # partners of a photo that its own pose hangs on
_WALK = 0.8  # share of neighbours that match strongly, from which the order is that of a walk
_MOST_BREAKS = 2  # its beginning and its end may be lost
_FEW_POINTS = 20  # under which the place of a photo is a guess
# Two photos have the same view: half of the points that either sees are in the picture of the
# other, seen at less than 12 degrees and at two thirds to one and a half of the distance.
_SAME_VIEW, _SAME_ANGLE, _SAME_DISTANCE, _SAME_PLACE = 0.5, 12.0, 1.5, 0.6
# Shares of the photos, or of the pairs, from which the whole is in doubt. A walk that is folded
# contradicts itself at the fold alone, however long it is.
_TORN, _TORN_WALK, _FEWEST_TORN, _WEAK, _ALIKE = 0.03, 0.005, 2, 0.2, 0.05


@dataclass(frozen=True)
class Pair:
    """Two photos, and the keypoints that their two-view geometry joins."""

    first: str
    second: str
    matches: Int[np.ndarray, "match 2"]

    @property
    def strong(self) -> bool:
        return len(self.matches) >= STRONG

    @property
    def names(self) -> frozenset[str]:
        return frozenset((self.first, self.second))


@dataclass(frozen=True)
class Matches:
    """What a COLMAP database knows of the photos.

    Attributes:
        keypoints: positions in pixels, per photo.
        pairs: with at least 15 inliers.
        place: of each photo in the order in which they were taken.
        walk: whether they were taken one beside the other, so that neighbours match.
        tried: the pairs that were compared at all; None for all.
    """

    keypoints: Mapping[str, Float[np.ndarray, "keypoint 2"]]
    pairs: Sequence[Pair]
    place: Mapping[str, int]
    walk: bool
    tried: frozenset[frozenset[str]] | None = None

    def apart(self, pair: Pair) -> int:
        """Places between the two in the order."""
        return abs(self.place[pair.first] - self.place[pair.second])


@dataclass(frozen=True)
class Consistency:
    """How a solve and its matches agree.

    Attributes:
        photos: those with a pose.
        strong: strongly matched pairs of placed photos.
        against: those of them that contradict the poses.
        near: pairs to which the poses give the same view.
        strangers: those of them that do not match at all.
        torn: photos in doubt: partners that their pose hangs on contradict it, or most of those
            with the same view are strangers.
        breaks: strongly matched neighbours of a walk of which one alone is placed.
        weak: photos with too few points to be sure of their pose.
        points: median over the photos of the points that each observes.
        walk: whether the photos were taken one beside the other.
    """

    photos: frozenset[str]
    strong: int
    against: int
    near: int
    strangers: int
    torn: tuple[str, ...]
    breaks: int
    weak: tuple[str, ...]
    points: int
    walk: bool

    @property
    def contradicted(self) -> bool:
        """Whether more photos contradict others than a right solve leaves."""
        share = _TORN_WALK if self.walk else _TORN
        return len(self.torn) >= max(_FEWEST_TORN, share * len(self.photos))

    @property
    def doubtful(self) -> bool:
        """Whether the poses cannot be relied on.

        A walk of which pieces from here and there are placed was put together by sides that look
        alike.
        """
        weak = len(self.weak) > _WEAK * len(self.photos)
        return self.contradicted or weak or self.breaks > _MOST_BREAKS

    @property
    def look_alike(self) -> bool:
        """Whether different sides match as if they were one."""
        return self.against > _ALIKE * self.strong


@dataclass(frozen=True)
class _View:
    """A placed photo: its camera, world-to-camera matrix, and the points of its keypoints."""

    camera: pycolmap.Camera
    matrix: Float[np.ndarray, "3 4"]
    points: Float[np.ndarray, "keypoint 3"]  # NaN where a keypoint has none

    @property
    def long_side(self) -> int:
        return int(max(self.camera.width, self.camera.height))

    @property
    def centre(self) -> Float[np.ndarray, "3"]:
        centre: np.ndarray = -self.matrix[:, :3].T @ self.matrix[:, 3]
        return centre

    def project(self, points: Float[np.ndarray, "point 3"]) -> Float[np.ndarray, "point 2"]:
        """Pixels of points; infinite for those behind the camera."""
        local = points @ self.matrix[:, :3].T + self.matrix[:, 3]
        ahead = local[:, 2] > 1e-9
        pixels = np.full((len(points), 2), np.inf)
        if ahead.any():
            pixels[ahead] = np.asarray(self.camera.img_from_cam(local[ahead]))
        return pixels

    def observed(self) -> Float[np.ndarray, "point 3"]:
        return self.points[np.isfinite(self.points[:, 0])]


def read_matches(
    database: Path, order: Sequence[str], tried: Iterable[tuple[str, str]] | None = None
) -> Matches:
    """The keypoints and verified pairs of a database.

    Args:
        order: the photos' names, as they were taken.
        tried: the pairs that were compared; by default all.
    """
    with pycolmap.Database.open(database) as opened:
        names = {image.image_id: image.name for image in opened.read_all_images()}
        numbers, geometries = opened.read_two_view_geometries()
        keypoints = {name: opened.read_keypoints(i)[:, :2] for i, name in names.items()}
    pairs = []
    for number, geometry in zip(numbers, geometries, strict=True):
        if len(geometry.inlier_matches) >= MATCHED:
            first, second = pycolmap.pair_id_to_image_pair(number)
            matches = np.asarray(geometry.inlier_matches).astype(np.int64).reshape(-1, 2)
            pairs.append(Pair(names[first], names[second], matches))
    strong = {pair.names for pair in pairs if pair.strong}
    steps = [frozenset(step) for step in pairwise(order)]
    walk = len(steps) > 1 and sum(step in strong for step in steps) >= _WALK * len(steps)
    compared = None if tried is None else frozenset(map(frozenset, tried))
    return Matches(keypoints, pairs, {name: i for i, name in enumerate(order)}, walk, compared)


def judge(model: pycolmap.Reconstruction, matches: Matches) -> Consistency:
    """Compare the poses of a model with the matches that it could have been solved from."""
    views = _views(model, matches)
    strong = [p for p in matches.pairs if p.strong and p.first in views and p.second in views]
    off = [_disagreement(pair, views, matches) > _OFF for pair in strong]
    near = _same_views(views, matches.tried)
    known = {pair.names for pair in matches.pairs}
    strangers = [pair for pair in near if pair not in known]
    torn = _contradicted(strong, off, matches) | _lost(near, strangers)
    counts = {name: len(view.observed()) for name, view in views.items()}
    return Consistency(
        photos=frozenset(views),
        strong=len(strong),
        against=sum(off),
        near=len(near),
        strangers=len(strangers),
        torn=tuple(sorted(torn)),
        breaks=_breaks(matches, views.keys()) if matches.walk else 0,
        weak=tuple(sorted(name for name, count in counts.items() if count < _FEW_POINTS)),
        points=int(np.median(list(counts.values()))) if counts else 0,
        walk=matches.walk,
    )


def disagreements(model: pycolmap.Reconstruction, matches: Matches) -> dict[frozenset[str], float]:
    """Of each pair of placed photos, how far off its matches are, in long sides of the photo."""
    views = _views(model, matches)
    return {
        pair.names: _disagreement(pair, views, matches)
        for pair in matches.pairs
        if pair.first in views and pair.second in views
    }


def _views(model: pycolmap.Reconstruction, matches: Matches) -> dict[str, _View]:
    images = {image.image_id: image for image in registered(model)}
    points = {
        image.name: np.full((len(matches.keypoints[image.name]), 3), np.nan)
        for image in images.values()
    }
    for point in model.points3D.values():
        for element in point.track.elements:
            points[images[element.image_id].name][element.point2D_idx] = point.xyz
    return {
        image.name: _View(
            model.cameras[image.camera_id], image.cam_from_world().matrix(), points[image.name]
        )
        for image in images.values()
    }


def _disagreement(pair: Pair, views: Mapping[str, _View], matches: Matches) -> float:
    """Median distance of the pair's matches from where the poses have them, in long sides.

    A point of one photo's keypoint belongs where the other photo has the match. Pairs whose
    matches have too few points are measured by their epipolar lines, across which a match deviates
    less: twice the distance from those counts.
    """
    errors = []
    for one, other, column in ((pair.first, pair.second, 0), (pair.second, pair.first, 1)):
        points = views[one].points[pair.matches[:, column]]
        known = np.isfinite(points[:, 0])
        shown = matches.keypoints[other][pair.matches[known, 1 - column]]
        away = np.linalg.norm(views[other].project(points[known]) - shown, axis=1)
        errors.append(away / views[other].long_side)
    error = np.concatenate(errors)
    if len(error) >= _TESTED:
        return float(np.median(error))
    return 2 * _epipolar_distance(pair, views, matches)


def _epipolar_distance(pair: Pair, views: Mapping[str, _View], matches: Matches) -> float:
    """Median of the matches' Sampson distances, in long sides of the photo."""
    rays, matrices = [], []
    for name, column in ((pair.first, 0), (pair.second, 1)):
        pixels = matches.keypoints[name][pair.matches[:, column]].astype(np.float64)
        plane = np.asarray(views[name].camera.cam_from_img(pixels))
        rays.append(np.c_[plane, np.ones(len(plane))])
        matrices.append(views[name].matrix)
    rotation = matrices[1][:, :3] @ matrices[0][:, :3].T
    x, y, z = matrices[1][:, 3] - rotation @ matrices[0][:, 3]
    essential = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ rotation
    lines, back = rays[0] @ essential.T, rays[1] @ essential
    slope = np.sqrt((lines[:, :2] ** 2).sum(1) + (back[:, :2] ** 2).sum(1))
    distance = np.abs((rays[1] * lines).sum(1)) / np.maximum(slope, 1e-12)
    camera = views[pair.first].camera
    return float(np.median(distance)) * camera.mean_focal_length() / views[pair.first].long_side


def _contradicted(strong: Sequence[Pair], off: Sequence[bool], matches: Matches) -> set[str]:
    """Photos that contradict a partner which their pose hangs on.

    Of a walk these are the neighbours in its order: sides that look alike match strongly too, but
    the next photo shows what this one shows. A photo is in doubt where half of its neighbours
    contradict it. One with fewer than two neighbours, and each of an unordered set, hangs on those
    that it matches most.
    """
    partners = defaultdict(list)
    for pair, wrong in zip(strong, off, strict=True):
        beside = matches.walk and matches.apart(pair) <= NEXT
        for name in (pair.first, pair.second):
            partners[name].append((beside, len(pair.matches), wrong))
    torn = set()
    for name, found in partners.items():
        beside_it = [wrong for beside, _, wrong in found if beside]
        most = [wrong for _, _, wrong in sorted(found, key=lambda p: -p[1])[:_CLOSEST]]
        if (np.mean(beside_it) >= 0.5) if len(beside_it) > 1 else any(most):
            torn.add(name)
    return torn


def _breaks(matches: Matches, placed: Collection[str]) -> int:
    """Strongly matched neighbours in the order, one placed and one not."""
    steps = [pair for pair in matches.pairs if pair.strong and matches.apart(pair) == 1]
    return sum((step.first in placed) != (step.second in placed) for step in steps)


def _same_views(
    views: Mapping[str, _View], tried: frozenset[frozenset[str]] | None
) -> list[frozenset[str]]:
    """Of the tried pairs, those to which the poses give the same view."""
    seen = {
        name: points for name, view in views.items() if len(points := view.observed()) >= STRONG
    }
    names = sorted(seen)
    centres = np.array([views[name].centre for name in names]).reshape(-1, 3)
    near = []
    for i, first in enumerate(names):
        # Cameras farther apart see most points at another angle or distance.
        away = np.linalg.norm(seen[first] - centres[i], axis=1)
        apart = np.linalg.norm(centres[i + 1 :] - centres[i], axis=1)
        for j in i + 1 + np.flatnonzero(apart < _SAME_PLACE * np.percentile(away, 90)):
            pair = frozenset((first, names[j]))
            if (tried is None or pair in tried) and all(
                _share_seen(seen[one], views[one], views[other]) > _SAME_VIEW
                for one, other in ((first, names[j]), (names[j], first))
            ):
                near.append(pair)
    return near


def _share_seen(points: Float[np.ndarray, "point 3"], one: _View, other: _View) -> float:
    """The share of one photo's points that are in the picture of the other, seen much alike."""
    first, second = points - one.centre, points - other.centre
    near, far = np.linalg.norm(first, axis=1), np.linalg.norm(second, axis=1)
    alike = (first * second).sum(1) > np.cos(np.radians(_SAME_ANGLE)) * near * far
    alike &= (near < _SAME_DISTANCE * far) & (far < _SAME_DISTANCE * near)
    if alike.mean() <= _SAME_VIEW:
        return 0.0
    pixels = other.project(points)
    inside = (pixels >= 0).all(1) & (pixels < [other.camera.width, other.camera.height]).all(1)
    return float((alike & inside).mean())


def _lost(near: Sequence[frozenset[str]], strangers: Sequence[frozenset[str]]) -> set[str]:
    """Photos to which most of those with the same view are strangers."""
    count: dict[str, int] = defaultdict(int)
    strange: dict[str, int] = defaultdict(int)
    for names, counts in ((near, count), (strangers, strange)):
        for pair in names:
            for name in pair:
                counts[name] += 1
    return {name for name, number in strange.items() if number > 0.5 * count[name]}
