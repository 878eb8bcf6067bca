"""Where photos and tags may be: from the poses of single tags, chained where tags are shared.

A square seen from afar looks the same from two sides (Collins and Bartoli, 2014), so that each
tag in a photo has two poses. Which is right, others tell: all tags that the photo shows, and all
photos that show the tag.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from capture.solve.aruco import TagCamera, Tags, tag_corners, tag_poses

Rigid = Float[np.ndarray, "4 4"]

# Pixels at which a corner begins to count less, in long sides of the photo: 0.8 at 1600, more
# than sharp corners are off by and less than wrong ones are.
SOFT = 0.0005
_TRIED = 100  # poses of a tag that are compared, at most
_SIDES = 2  # places that are returned, at most
_ELSEWHERE = np.radians(5)  # between the rotations of two places


@dataclass(frozen=True)
class View:
    """What one photo shows.

    Attributes:
        seen: corners of each tag on the image plane at depth 1, without the lens's distortion.
        poses: tag to camera, one or two of each tag.
    """

    seen: dict[int, Float[np.ndarray, "4 2"]]
    poses: dict[int, Float[np.ndarray, "pose 4 4"]]


@dataclass(frozen=True)
class Chain:
    """Photos by what they show; the tags' corners are those of a square.

    Attributes:
        views: the photos by their names.
        square: a tag's corners in its own frame.
        soft: the distance at depth 1 at which a corner begins to count less.
    """

    views: Mapping[str, View]
    square: Float[np.ndarray, "4 3"]
    soft: float

    @classmethod
    def of(cls, camera: TagCamera, tags: Tags, tag_size: float) -> Chain:
        """Of the tags in photos of one camera; lengths in `tag_size`'s unit."""
        views = {name: _view(camera, shown, tag_size) for name, shown in tags.items()}
        soft = SOFT * max(camera.size) / float(camera.matrix[0, 0])
        return cls(views, tag_corners(tag_size), soft)

    def next(self, tags: Mapping[int, Rigid]) -> int | None:
        """The tag that most photos show together with some of these."""
        shared: dict[int, int] = {}
        for view in self.views.values():
            if view.seen.keys() & tags:
                for tag in view.seen.keys() - tags:
                    shared[tag] = shared.get(tag, 0) + 1
        return max(sorted(shared), key=lambda tag: shared[tag], default=None)

    def together(self, tag: int, tags: Mapping[int, Rigid]) -> list[str]:
        """The photos that show a tag and others of the tags."""
        others = tags.keys() - {tag}
        return [name for name, v in self.views.items() if tag in v.seen and v.seen.keys() & others]

    def photo(
        self, name: str, tags: Mapping[int, Rigid], also: Sequence[Rigid] = ()
    ) -> list[Rigid]:
        """Where a photo may be (world to camera), the likeliest first, each seen from elsewhere."""
        view = self.views[name]
        tries = np.stack([*self._tries(view, tags), *also])
        return _apart(tries, self._cost(tries, *self._known(view, tags)))

    def tag(self, tag: int, tags: Mapping[int, Rigid], names: Sequence[str]) -> list[Rigid]:
        """Where a tag may be (to the world) by photos of it and others; as for a photo."""
        others = {other: pose for other, pose in tags.items() if other != tag}
        views = [self.views[name] for name in names]
        tries = [
            np.linalg.inv(camera) @ pose
            for view in views
            for camera in self._tries(view, others)
            for pose in view.poses[tag]
        ]
        places = np.stack(tries[:: 1 + len(tries) // _TRIED])
        corners = transform(places, self.square)
        costs = np.zeros(len(places))
        for view in views:
            # Either the others place the photo, or the tag does.
            by_others, by_tag = self._tries(view, others), view.poses[tag]
            known, seen = self._known(view, others)
            costs_by_others = self._cost(by_others, known, seen) + self._cost(
                by_others, corners[:, None], view.seen[tag]
            )
            cameras = by_tag @ np.linalg.inv(places)[:, None]
            costs_by_tag = self._cost(cameras, known, seen) + self._cost(
                by_tag, self.square, view.seen[tag]
            )
            costs += np.concatenate([costs_by_others, costs_by_tag], axis=1).min(axis=1)
        return _apart(places, costs)

    def _tries(self, view: View, tags: Mapping[int, Rigid]) -> Float[np.ndarray, "try 4 4"]:
        """The poses that a photo may have by each of its tags."""
        known = [tag for tag in view.seen if tag in tags]
        return np.concatenate([view.poses[tag] @ np.linalg.inv(tags[tag]) for tag in known])

    def _known(
        self, view: View, tags: Mapping[int, Rigid]
    ) -> tuple[Float[np.ndarray, "corner 3"], Float[np.ndarray, "corner 2"]]:
        """Where the corners are that a photo shows, and where it shows them."""
        known = [tag for tag in view.seen if tag in tags]
        corners = [transform(tags[tag], self.square) for tag in known]
        return np.concatenate(corners), np.concatenate([view.seen[tag] for tag in known])

    def _cost(
        self,
        cameras: Float[np.ndarray, "... 4 4"],
        points: Float[np.ndarray, "... corner 3"],
        seen: Float[np.ndarray, "corner 2"],
    ) -> Float[np.ndarray, "..."]:
        """How badly corners fit (Cauchy's robust sum)."""
        local = transform(cameras, points)
        depth = np.maximum(local[..., 2:], 1e-6 * np.abs(self.square).max())
        off = (local[..., :2] / depth - seen) / self.soft
        return np.log1p((off**2).sum(-1)).sum(-1)


def _view(camera: TagCamera, shown: Mapping[int, np.ndarray], tag_size: float) -> View:
    seen, poses = {}, {}
    for tag, corners in shown.items():
        if found := tag_poses(camera, corners, tag_size):
            flat = cv2.undistortPoints(corners, camera.matrix, camera.distortion)
            seen[tag] = np.asarray(flat).reshape(4, 2)
            poses[tag] = np.stack([rigid(pose.rotation, pose.translation) for pose in found])
    return View(seen, poses)


def _apart(
    places: Float[np.ndarray, "place 4 4"], costs: Float[np.ndarray, "place"]
) -> list[Rigid]:
    """The places with the least costs, of each direction one."""
    found: list[Rigid] = []
    for place in places[np.argsort(costs, kind="stable")]:
        if all(apart(place, other) for other in found):
            found.append(place)
        if len(found) == _SIDES:
            break
    return found


def apart(first: Rigid, second: Rigid) -> bool:
    """Whether two poses are turned against each other: they are no two estimates of one."""
    turn = Rotation.from_matrix(first[:3, :3] @ second[:3, :3].T)
    return bool(turn.magnitude() > _ELSEWHERE)


def rigid(rotation: Float[np.ndarray, "3 3"], shift: Float[np.ndarray, "3"]) -> Rigid:
    """The matrix of a rotation and a translation."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, shift
    return matrix


def transform(
    poses: Float[np.ndarray, "... 4 4"], points: Float[np.ndarray, "... point 3"]
) -> Float[np.ndarray, "... point 3"]:
    """Points moved by poses; leading dimensions are broadcast."""
    return points @ np.swapaxes(poses[..., :3, :3], -1, -2) + poses[..., None, :3, 3]
