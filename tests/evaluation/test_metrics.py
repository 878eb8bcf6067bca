"""The metrics of pictures against the formulas and figures of the literature."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.metrics import psnr, ssim
from evaluation.published import published_psnr


def test_psnr_is_its_formula():
    a = np.full((4, 4, 3), 100, np.uint8)
    b = a.copy()
    b[0, 0, 0] = 110
    assert psnr(b, a) == pytest.approx(-10 * np.log10((10 / 255) ** 2 / 48))
    assert psnr(a, a) == 100.0
    mask = np.ones((4, 4), bool)
    mask[0, 0] = False
    assert psnr(b, a, mask) == 100.0


def test_ssim_is_the_literatures():
    """Wang et al.'s formula with scipy-free loops: Gaussian of 11 pixels, sigma 1.5, no padding."""
    rng = np.random.default_rng(0)
    a = rng.integers(0, 255, (16, 18, 3), dtype=np.uint8)
    b = np.clip(a + rng.normal(0, 30, a.shape), 0, 255).astype(np.uint8)
    g = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    window = np.outer(g, g) / np.outer(g, g).sum()
    values = []
    for c in range(3):
        for y in range(6):
            for x in range(8):
                p = a[y : y + 11, x : x + 11, c] / 255
                q = b[y : y + 11, x : x + 11, c] / 255
                mp, mq = (window * p).sum(), (window * q).sum()
                vp, vq = (window * p * p).sum() - mp**2, (window * q * q).sum() - mq**2
                cov = (window * p * q).sum() - mp * mq
                values.append(
                    (2 * mp * mq + 1e-4)
                    * (2 * cov + 9e-4)
                    / ((mp**2 + mq**2 + 1e-4) * (vp + vq + 9e-4))
                )
    assert ssim(b, a) == pytest.approx(np.mean(values), abs=1e-4)
    assert ssim(a, a) == pytest.approx(1.0)


def test_published_figures_say_how_they_differ():
    same = published_psnr("blender", "lego", "test", (800, 800), 200, 8)
    assert same is not None
    assert same["psnr"]["NeRF"] == 32.54
    assert same["differs"] == []
    small = published_psnr("blender", "lego200", "test", (200, 200), 25, 8)
    assert small is not None
    assert len(small["differs"]) == 2
    fern = published_psnr("llff", "fern", "test", (504, 378), 3, 8)
    assert fern is not None
    assert fern["psnr"]["NeRF"] == 25.17
    assert len(fern["differs"]) == 1
    assert published_psnr("llff", "pig", "test", (504, 378), 3, 8) is None
    assert published_psnr("blender", "lego", "val", (800, 800), 200, 8) is None
