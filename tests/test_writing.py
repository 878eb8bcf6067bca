"""Files read back by the libraries that they are for."""

from __future__ import annotations

import cv2
import imageio.v2 as imageio
import numpy as np
import pytest
from PIL import Image, ImageSequence

from metrics import psnr, ssim
from published import published_psnr
from writing.depth import depth_range, depth_to_colour, depth_to_grey, write_depth
from writing.files import replacing, write_json
from writing.video import write_gif, write_mp4


def frames(count: int = 6, height: int = 30, width: int = 41) -> list[np.ndarray]:
    """A square that moves on a gradient."""
    out = []
    for i in range(count):
        image = np.zeros((height, width, 3), np.uint8)
        image[..., 0] = np.linspace(0, 255, width)
        image[8:18, 4 * i : 4 * i + 10] = (20, 200, 90)
        out.append(image)
    return out


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        fail()
    assert path.read_text() == '{\n  "a": 1\n}\n'
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("fps", "duration"), [(25, 40), (50, 20), (30, 30), (10, 100)])
def test_gif_loops_at_its_speed_with_its_colours(tmp_path, fps, duration):
    write_gif(tmp_path / "a.gif", frames(), fps)
    with Image.open(tmp_path / "a.gif") as image:
        assert image.info["loop"] == 0
        read = []
        for frame in ImageSequence.Iterator(image):
            assert frame.info["duration"] == duration
            read.append(np.asarray(frame.convert("RGB")).astype(float))
    assert len(read) == 6
    for got, expected in zip(read, frames(), strict=True):
        assert np.abs(got - expected).mean() < 1.5


@pytest.mark.parametrize("size", [(30, 41), (32, 40), (31, 33)])
def test_mp4_plays_with_even_sides(tmp_path, size):
    write_mp4(tmp_path / "a.mp4", frames(6, *size), 25)
    video = cv2.VideoCapture(str(tmp_path / "a.mp4"))
    assert video.get(cv2.CAP_PROP_FPS) == 25
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 6
    ok, first = video.read()
    assert ok
    assert first.shape == (size[0] + size[0] % 2, size[1] + size[1] % 2, 3)
    expected = frames(6, *size)[0][..., ::-1]
    assert np.abs(first[: size[0], : size[1]].astype(float) - expected).mean() < 12
    assert sum(1 for _ in imageio.get_reader(tmp_path / "a.mp4")) == 6  # type: ignore[attr-defined,misc]


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
