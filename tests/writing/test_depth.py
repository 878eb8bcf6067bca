"""Depth read back by the libraries that it is for."""

from __future__ import annotations

import cv2
import numpy as np

from writing.depth import depth_range, depth_to_colour, depth_to_grey, write_depth


def test_depth_formats_read_back(tmp_path):
    depth = np.random.default_rng(0).random((5, 7), dtype=np.float32) * 9
    pfm = write_depth(tmp_path / "depth_000", depth, "pfm")
    np.testing.assert_array_equal(cv2.imread(str(pfm), cv2.IMREAD_UNCHANGED), depth)
    npy = write_depth(tmp_path / "depth_000", depth, "npy")
    np.testing.assert_array_equal(np.load(npy, allow_pickle=False), depth)
    raw = write_depth(tmp_path / "depth_000", depth, "bytes")
    assert raw.name == "depth_000"
    np.testing.assert_array_equal(np.fromfile(raw, "<f4").reshape(5, 7), depth)


def test_depth_pictures_have_a_fixed_scale():
    depth = np.array([[0.0, 2.0, 4.0, 6.0]])
    grey = depth_to_grey(depth, 2.0, 6.0)
    assert grey[0, :, 0].tolist() == [0, 255, 128, 0]  # nearer is lighter, background black
    colour = depth_to_colour(depth, 2.0, 6.0)
    assert colour[0, 0].tolist() == [0, 0, 0]
    assert colour[0, 1, 0] > colour[0, 1, 2]  # near is red
    assert colour[0, 3, 2] >= colour[0, 3, 0]  # far is blue
    near, far = depth_range([depth, np.zeros((8, 8))])
    assert 2.0 <= near < far <= 6.0
    assert depth_range([np.zeros((8, 8))]) == (0.0, 1.0)
