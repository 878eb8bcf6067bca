"""Cameras written as transforms.json: a photo's own lens and a refined one become one."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from datasets.formats.transforms_of import compose
from geometry.lens import distort


def shown(rays: np.ndarray, focal: float, terms: list[float]) -> np.ndarray:
    """Pixels of rays (x, y, 1) through OpenCV's lens."""
    matrix = np.array([[focal, 0, 500], [0, focal, 400], [0, 0, 1]])
    points = np.concatenate([rays, np.ones((len(rays), 1))], axis=1)
    return cv2.projectPoints(points, np.zeros(3), np.zeros(3), matrix, np.array(terms))[0][:, 0]


def test_two_lenses_become_one():
    own, factor, radial = [0.08, -0.05, 0.001, -0.0005, 0.01], 0.99, [-0.02, 0.015]
    rays = np.stack(np.meshgrid(np.linspace(-0.5, 0.5, 9), np.linspace(-0.4, 0.4, 9)), -1)
    rays = rays.reshape(-1, 2)
    refined = distort(torch.from_numpy(rays), torch.tensor(radial, dtype=torch.float64)).numpy()
    one_by_one = shown(factor * refined, 900, own)
    together = shown(rays, 900 * factor, compose(own, factor, radial))
    assert np.abs(one_by_one - shown(rays, 900, own)).max() > 4
    assert np.abs(one_by_one - together).max() < 0.15


def test_a_lens_that_was_not_refined_stays():
    terms = compose([0.1, -0.2, 0.01, 0.02], 1.0, [0.0, 0.0])
    np.testing.assert_allclose(terms, [0.1, -0.2, 0.01, 0.02, 0.0])
