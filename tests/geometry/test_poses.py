"""Where cameras look, and which way is up."""

from __future__ import annotations

import cv2
import numpy as np

from geometry.poses import apply, focus_point, up_direction
from tests.scenes import (
    circle_poses,
)


def test_focus_and_up_of_a_tilted_circle():
    turn = np.eye(4)
    turn[:3, :3] = cv2.Rodrigues(np.array([0.4, 0.2, -0.3]))[0]
    turn[:3, 3] = [3.0, -1.0, 2.0]
    poses = apply(turn, circle_poses(12))
    np.testing.assert_allclose(focus_point(poses), [3, -1, 2], atol=1e-4)
    np.testing.assert_allclose(up_direction(poses), turn[:3, 2], atol=1e-6)
