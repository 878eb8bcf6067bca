"""One bundle adjustment of tags: photos, tags and the lens from all corners (Triggs et al., 2000).

Levenberg's and Marquardt's method on the normal equations, which are small: six unknowns for a
photo or a tag. Focal length and distance are so alike in photos of tags that methods which solve
for the step approximately stop far from the minimum.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.spatial.transform import Rotation

# What a calibration is believed to: a phone's lens moves when it focuses elsewhere, by a few
# percent of its focal length.
_FOCAL, _RADIAL = 0.05, 0.05
_STEPS = 100
_DONE = 1e-6  # relative decrease of the cost in a step
_STUCK = 1e8  # damping


@dataclass(frozen=True)
class State:
    """The unknowns.

    Attributes:
        photos: world to camera.
        tags: tag to world.
        lens: the logarithm of the focal length in pixels, and k1.
    """

    photos: Float[np.ndarray, "photo 4 4"]
    tags: Float[np.ndarray, "tag 4 4"]
    lens: Float[np.ndarray, "2"]

    def moved(self, step: Float[np.ndarray, "unknown"]) -> State:
        """Each pose turned and shifted by a small step (turn, then shift), in its target frame."""
        photos, tags = np.split(step[:-2].reshape(-1, 6), [len(self.photos)])
        return State(_moved(self.photos, photos), _moved(self.tags, tags), self.lens + step[-2:])

    def mirrored(self) -> State:
        """All of it behind the mirror of the world's plane z = 0, which cameras far away see alike.

        Necker's reversal: points become (x, y, -z), and depths are counted from behind; squares
        and the axes of photos stay right-handed.
        """
        flip = np.diag([1.0, 1.0, -1.0])
        photos, tags = self.photos.copy(), flip @ self.tags[:, :3]
        photos[:, :3, :3] = flip @ photos[:, :3, :3] @ flip
        tags[:, :, :3] = tags[:, :, :3] @ flip
        return State(photos, np.concatenate([tags, self.tags[:, 3:]], axis=1), self.lens)


@dataclass(frozen=True)
class Bundle:
    """The corners: which photo shows which corner of which tag, and where.

    Attributes:
        photo, tag: their indices in a State.
        point: the corner in the tag's frame.
        seen: pixels from the principal point.
        soft: pixels at which a corner begins to count less (Cauchy's loss).
        fixed: whether each tag stays where it is.
        lens: the logarithm of the focal length and k1, as calibrated.
    """

    photo: Int[np.ndarray, "corner"]
    tag: Int[np.ndarray, "corner"]
    point: Float[np.ndarray, "corner 3"]
    seen: Float[np.ndarray, "corner 2"]
    soft: float
    fixed: Bool[np.ndarray, "tag"]
    lens: Float[np.ndarray, "2"]

    def residuals(self, state: State) -> Float[np.ndarray, "corner 2"]:
        """Pixels from where each corner is seen to where it should be."""
        return self._off(self._project(state)[2], state.lens)

    def minimize(self, state: State) -> State:
        """The state at the least cost near a start."""
        damping, cost = 1e-3, self.cost(state)
        for _ in range(_STEPS):
            normal, gradient = self._normal(state)
            scale = np.diag(normal)
            while True:
                try:
                    factor = cho_factor(normal + np.diag(damping * scale))
                    tried = state.moved(-cho_solve(factor, gradient))
                    new = self.cost(tried)
                except LinAlgError:
                    new = np.inf
                if new < cost:
                    break
                damping *= 10
                if damping > _STUCK:
                    return state
            state, damping = tried, damping / 10
            if cost - new < _DONE * cost:
                return state
            cost = new
        return state

    def cost(self, state: State) -> float:
        """The robust sum over the corners: a good one's squared distance in units of `soft`."""
        prior = (state.lens - self.lens) / (_FOCAL, _RADIAL)
        off = self.residuals(state)
        return float(np.log1p((off**2).sum(1) / self.soft**2).sum() + (prior**2).sum())

    def _normal(
        self, state: State
    ) -> tuple[Float[np.ndarray, "unknown unknown"], Float[np.ndarray, "unknown"]]:
        """Half of the cost's second derivatives (Gauss and Newton's) and half of its gradient."""
        off, jacobian, unknown = self.derivatives(state)
        weight = 1 / (self.soft**2 + (off**2).sum(1))
        weighted = jacobian.transpose(0, 2, 1) * weight[:, None, None]
        size = 6 * (len(state.photos) + len(state.tags)) + 2
        normal, gradient = np.zeros((size, size)), np.zeros(size)
        np.add.at(normal, (unknown[:, :, None], unknown[:, None, :]), weighted @ jacobian)
        np.add.at(gradient, unknown, (weighted @ off[..., None])[..., 0])
        certain = 1 / np.square([_FOCAL, _RADIAL])
        normal[[-2, -1], [-2, -1]] += certain
        gradient[-2:] += certain * (state.lens - self.lens)
        # What is fixed, and what nothing is known of, stays.
        still = np.diag(normal) == 0
        still[6 * len(state.photos) : -2] |= np.repeat(self.fixed, 6)
        normal[still], normal[:, still], gradient[still] = 0, 0, 0
        normal[still, still] = 1
        return normal, gradient

    def derivatives(
        self, state: State
    ) -> tuple[
        Float[np.ndarray, "corner 2"],
        Float[np.ndarray, "corner 2 14"],
        Int[np.ndarray, "corner 14"],
    ]:
        """The residuals, their derivatives by State.moved's step, and of which unknowns."""
        turned, shown, flat, depth = self._project(state)
        camera = state.photos[self.photo, :3, :3]
        focal, radial = np.exp(state.lens[0]), state.lens[1]
        square = (flat**2).sum(1)[:, None]
        by_flat = focal * (
            (1 + radial * square)[..., None] * np.eye(2)
            + 2 * radial * flat[:, :, None] * flat[:, None, :]
        )
        by_local = np.concatenate([by_flat, -by_flat @ flat[:, :, None]], axis=2) / depth[..., None]
        by_world = by_local @ camera
        off = self._off(flat, state.lens)
        by_lens = np.stack([off + self.seen, focal * flat * square], axis=2)
        values = [
            -by_local @ _cross(shown),
            by_local,
            -by_world @ _cross(turned),
            by_world,
            by_lens,
        ]
        six, photos, count = np.arange(6), len(state.photos), len(self.seen)
        size = 6 * (photos + len(state.tags)) + 2
        unknown = [
            6 * self.photo[:, None] + six,
            6 * (photos + self.tag[:, None]) + six,
            np.tile([size - 2, size - 1], (count, 1)),
        ]
        return off, np.concatenate(values, axis=2), np.concatenate(unknown, axis=1)

    def _off(
        self, flat: Float[np.ndarray, "corner 2"], lens: Float[np.ndarray, "2"]
    ) -> Float[np.ndarray, "corner 2"]:
        """Pixels between corners at depth 1, through the lens, and where they are seen."""
        square = (flat**2).sum(1, keepdims=True)
        return np.exp(lens[0]) * flat * (1 + lens[1] * square) - self.seen

    def _project(
        self, state: State
    ) -> tuple[
        Float[np.ndarray, "corner 3"],
        Float[np.ndarray, "corner 3"],
        Float[np.ndarray, "corner 2"],
        Float[np.ndarray, "corner 1"],
    ]:
        """Each corner turned by its tag, then by its photo; at depth 1; and its depth."""
        camera, tag = state.photos[self.photo], state.tags[self.tag]
        turned = np.einsum("nij,nj->ni", tag[:, :3, :3], self.point)
        shown = np.einsum("nij,nj->ni", camera[:, :3, :3], turned + tag[:, :3, 3])
        local = shown + camera[:, :3, 3]
        # A corner behind the camera is far off, and does not turn around.
        depth = np.maximum(local[:, 2:], 1e-3 * np.linalg.norm(local, axis=1, keepdims=True))
        return turned, shown, local[:, :2] / depth, depth

    def only(self, kept: Bool[np.ndarray, "corner"]) -> Bundle:
        """Some of the corners."""
        return replace(
            self,
            photo=self.photo[kept],
            tag=self.tag[kept],
            point=self.point[kept],
            seen=self.seen[kept],
        )


def _moved(
    poses: Float[np.ndarray, "pose 4 4"], steps: Float[np.ndarray, "pose 6"]
) -> Float[np.ndarray, "pose 4 4"]:
    result = poses.copy()
    result[:, :3, :3] = Rotation.from_rotvec(steps[:, :3]).as_matrix() @ poses[:, :3, :3]
    result[:, :3, 3] += steps[:, 3:]
    return result


def _cross(vectors: Float[np.ndarray, "row 3"]) -> Float[np.ndarray, "row 3 3"]:
    """The matrices of the cross products with vectors: d(turn x)/d(turn) = -cross(x)."""
    x, y, z = vectors.T
    zero = np.zeros_like(x)
    rows = [[zero, -z, y], [z, zero, -x], [-y, x, zero]]
    return np.stack([np.stack(row, axis=1) for row in rows], axis=1)
