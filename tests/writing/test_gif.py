"""GIFs read back by Pillow: speed, loop, colours that stand still, and a size that fits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

import writing.gif
from errors import UserError
from tests.writing.films import moving_square, textured_pan
from writing.depth import depth_to_colour
from writing.frames import StoredFrames
from writing.gif import Plan, choose, write_gif


def read(path: Path) -> tuple[np.ndarray, list[int]]:
    """Frames (frame, height, width, 3) and their durations in milliseconds."""
    with Image.open(path) as image:
        assert image.info["loop"] == 0
        frames, durations = [], []
        for frame in ImageSequence.Iterator(image):
            frames.append(np.asarray(frame.convert("RGB")))
            durations.append(frame.info["duration"])
    return np.stack(frames), durations


@pytest.mark.parametrize("fps", [10, 24, 25, 30, 50])
def test_it_loops_at_its_speed_with_its_colours(tmp_path, fps):
    frames = moving_square(9)
    gif = write_gif(tmp_path / "a.gif", frames, fps)
    got, durations = read(tmp_path / "a.gif")
    assert (gif.width, gif.height, gif.fps, gif.frames) == (41, 30, fps, 9)
    assert gif.bytes == (tmp_path / "a.gif").stat().st_size
    assert sum(durations) == pytest.approx(9000 / fps, abs=15)
    assert max(durations) - min(durations) <= 10
    assert np.abs(got.astype(float) - np.stack(frames)).mean() < 1.5


def test_what_players_slow_down_has_fewer_frames(tmp_path):
    """A delay below two hundredths of a second is played at ten frames a second."""
    gif = write_gif(tmp_path / "a.gif", moving_square(9), 60)
    _, durations = read(tmp_path / "a.gif")
    assert min(durations) >= 20
    assert (gif.frames, gif.fps) == (5, 30)


def test_nothing_flickers(tmp_path):
    """Pixels that are the same in two frames are the same in the GIF, also after shrinking."""
    frames = []
    for i in range(12):
        rows, columns = np.mgrid[0:120, 0:160]
        sky = np.stack([90 + rows / 2, 130 + rows / 2, 200 + columns / 4], axis=-1)
        image = sky.astype(np.uint8)
        # Two corners change, so that the whole picture is encoded anew, with colours that come
        # and go.
        image[:20, : 8 + 3 * i] = (200, 10 * i, 40)
        image[100:, 110 + 3 * i :] = (10 * i, 40, 200)
        frames.append(image)
    for width in (160, 80):
        write_gif(tmp_path / "a.gif", frames, 20, max_width=width)
        got, _ = read(tmp_path / "a.gif")
        assert got.shape[2] == width
        rows = slice(24 * width // 160, 96 * width // 160)  # between the corners
        assert (got[:, rows] == got[:1, rows]).all()


def test_a_soft_gradient_has_no_bands(tmp_path):
    """Where the palette has few colours for a sky, the pattern makes its steps gradual."""
    rows = np.linspace(0, 1, 240)[:, None, None]
    sky = np.array([60, 110, 190]) * (1 - rows) + np.array([200, 220, 235]) * rows
    frames = []
    for i in range(8):
        image = np.repeat(sky, 160, axis=1)
        image[120:] = np.random.default_rng(i).integers(0, 255, (120, 160, 3))  # takes most colours
        frames.append(np.round(image).astype(np.uint8))
    write_gif(tmp_path / "a.gif", frames, 20)
    got, _ = read(tmp_path / "a.gif")
    course = got[0, :120].astype(float).mean(1)
    jumps = np.abs(np.diff(course, axis=0)).max(1)
    error = np.abs(course - frames[0][:120, 0])
    assert jumps.max() <= 4  # levels from row to row; 6 with the bare palette
    assert error.mean() < 1


def test_it_fits(tmp_path, monkeypatch):
    encoded = []
    encode = writing.gif.encode_gif

    def count(output, frames, fps, *rest):
        encode(output, frames, fps, *rest)
        encoded.append(output.stat().st_size)

    monkeypatch.setattr(writing.gif, "encode_gif", count)
    frames = textured_pan(60, 180, 320)
    whole = write_gif(tmp_path / "whole.gif", frames, 30)
    assert (whole.frames, whole.width) == (60, 320)
    for share in (0.5, 0.15, 0.02):
        encoded.clear()
        gif = write_gif(tmp_path / "a.gif", frames, 30, max_bytes=int(share * whole.bytes))
        assert gif.bytes == (tmp_path / "a.gif").stat().st_size <= share * whole.bytes
        assert gif.bytes > 0.5 * share * whole.bytes  # and uses its room
        assert len(encoded) <= 4  # the trial and at most three
        got, durations = read(tmp_path / "a.gif")
        assert got.shape[1:3] == (gif.height, gif.width)
        assert abs(gif.width / gif.height - 320 / 180) < 0.1
        assert sum(durations) == pytest.approx(2000, abs=1000 / gif.fps)
        assert gif.fps >= 5


def test_small_films_stay_whole(tmp_path):
    gif = write_gif(tmp_path / "a.gif", moving_square(40), 30, max_bytes=8_000_000)
    assert (gif.width, gif.frames) == (41, 40)
    gif = write_gif(tmp_path / "a.gif", iter(moving_square()), 30, 20, 8_000_000)
    assert (gif.width, gif.height) == (20, 15)


def test_frames_are_left_out_before_they_get_tiny():
    """What a phone's flight of 240 frames, at 0.7 bytes a pixel of 400x711, gets in 8 MB."""
    best = Plan(900, 1)
    each = 0.7 * 400 * 711
    plan = choose(best, 400, each, 240, 30, 16 / 9, 8e6)
    assert plan.step == 2  # 15 a second; fewer stutter
    assert 210 <= plan.width <= 260
    assert choose(best, 400, each, 20, 30, 16 / 9, 8e6).step == 1
    assert choose(best, 400, each / 1000, 240, 30, 16 / 9, 8e6) == best
    assert choose(best, 400, each, 2400, 30, 16 / 9, 8e6).step == 6  # 5 a second, not fewer


def test_what_cannot_fit_is_told(tmp_path):
    with pytest.raises(UserError, match=r"a\.gif: no GIF of this film fits 300 bytes"):
        write_gif(tmp_path / "a.gif", textured_pan(30, 60, 60), 30, max_bytes=300)
    with pytest.raises(UserError, match=r"a\.gif: there are no frames"):
        write_gif(tmp_path / "a.gif", [], 30)
    assert list(tmp_path.iterdir()) == []


def test_depth_colours_keep(tmp_path):
    columns = np.linspace(2, 6, 200)[None] * np.ones((80, 1))
    frames = [depth_to_colour(np.roll(columns, 5 * i, axis=1), 2.0, 6.0) for i in range(8)]
    write_gif(tmp_path / "a.gif", frames, 20)
    got, _ = read(tmp_path / "a.gif")
    assert np.abs(got.astype(float) - np.stack(frames)).mean() < 2


def test_from_files(tmp_path):
    frames = textured_pan(12, 40, 60)
    for i, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / f"{i:03d}.png")
    stored = StoredFrames.in_folder(tmp_path)
    write_gif(tmp_path / "a.gif", stored, 20)
    write_gif(tmp_path / "b.gif", frames, 20)
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()
