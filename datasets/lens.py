"""Lenses with distortion: photos are undistorted once, when they are read."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float

from errors import UserError


@dataclass(frozen=True)
class Lens:
    """A lens with distortion, for the photo at its stored size.

    matrix and new_matrix are OpenCV camera matrices, whose pixel centres lie at whole numbers;
    coefficients are OpenCV's (k1, k2, p1, p2, ...), or (k1, k2, k3, k4) of a fisheye lens.
    """

    matrix: Float[np.ndarray, "3 3"]
    coefficients: Float[np.ndarray, "term"]
    new_matrix: Float[np.ndarray, "3 3"]
    fisheye: bool = False

    @staticmethod
    def pinhole_of(
        intrinsics: tuple[float, float, float, float],
        coefficients: list[float],
        size: tuple[int, int],
        fisheye: bool = False,
    ) -> tuple[Lens, tuple[float, float, float, float]]:
        """The lens, and (fx, fy, cx, cy) of the undistorted photo of the same size.

        The new view is the largest that has a colour for every pixel. Raises UserError, which does
        not know the file, where the lens shows no such view.
        """
        fx, fy, cx, cy = intrinsics
        matrix = np.array([[fx, 0, cx - 0.5], [0, fy, cy - 0.5], [0, 0, 1]])
        distortion = np.array(coefficients, dtype=np.float64)
        try:
            if fisheye:
                new = cv2.fisheye.estimateNewCameraMatrixForUndistortRectify(
                    matrix, distortion, size, np.eye(3), balance=0.0
                )
            else:
                new, _ = cv2.getOptimalNewCameraMatrix(matrix, distortion, size, alpha=0.0)
        except cv2.error as error:
            raise UserError(f"{_absurd(coefficients)} ({error.err})") from error
        new = np.asarray(new, dtype=np.float64)
        focal = new[[0, 1], [0, 1]]
        largest = 1e3 * max(size)
        if not (np.isfinite(new).all() and focal.min() > 0 and np.abs(new).max() < largest):
            raise UserError(_absurd(coefficients))
        lens = Lens(matrix, distortion, new, fisheye)
        return lens, (new[0, 0], new[1, 1], new[0, 2] + 0.5, new[1, 2] + 0.5)

    def reach(self) -> float:
        """How far from the centre to the corners the distortion lasts before it folds; at most 1.

        The distorted radius grows with the angle of the ray up to a largest one. Pixels beyond
        that have no ray.
        """
        centre, focal = self.matrix[[0, 1], [2, 2]], self.matrix[[0, 1], [0, 1]]
        corner = float(np.linalg.norm(np.maximum(centre, 0) / focal))  # the centre is the middle's
        if not corner > 0:
            return 1.0
        if self.fisheye:
            undistorted = np.linspace(0, np.pi, 2000)
            powers, rational = self.coefficients[:4], np.zeros(0)
        else:
            undistorted = np.linspace(0, 4 * corner, 4000)
            terms = np.zeros(8)
            terms[: len(self.coefficients[:8])] = self.coefficients[:8]
            powers, rational = terms[[0, 1, 4]], terms[5:8]
        square = undistorted**2
        above = 1 + sum(k * square ** (i + 1) for i, k in enumerate(powers))
        below = 1 + sum(k * square ** (i + 1) for i, k in enumerate(rational))
        with np.errstate(all="ignore"):
            distorted = undistorted * above / below
        folded = np.flatnonzero(~(np.diff(distorted) > 0))
        if len(folded) == 0:
            return 1.0
        return float(min(1.0, distorted[folded[0]] / corner))

    def undistort(self, image: np.ndarray) -> np.ndarray:
        if self.fisheye:
            return cv2.fisheye.undistortImage(
                image, self.matrix, self.coefficients, Knew=self.new_matrix
            )
        return cv2.undistort(image, self.matrix, self.coefficients, None, self.new_matrix)


def _absurd(coefficients: list[float]) -> str:
    terms = ", ".join(f"{value:.3g}" for value in coefficients)
    return f"the distortion {terms} folds the image; solve the poses again"
