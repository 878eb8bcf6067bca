"""MP4s read back by ffmpeg: colours, tags, layout, and what happens when writing fails."""

from __future__ import annotations

import errno
import re
import stat
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import writing.ffmpeg
from errors import UserError, explain
from tests.writing.films import ffmpeg, moving_square, read_bt709
from writing.video import write_gif, write_mp4

COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "skin": (224, 172, 136),
    "grey": (128, 128, 128),
    "white": (255, 255, 255),
    "black": (0, 0, 0),
}


def test_flat_colours_are_bt709(tmp_path):
    """Each colour fills a patch, far from the edges that half the chroma's resolution blurs."""
    image = np.concatenate([np.full((48, 48, 3), c, np.uint8) for c in COLOURS.values()], axis=1)
    write_mp4(tmp_path / "a.mp4", [image] * 3, 25)
    read = read_bt709(tmp_path / "a.mp4", 48, 48 * len(COLOURS))
    assert len(read) == 3
    for frame in read:
        for i, colour in enumerate(COLOURS.values()):
            patch = frame[16:32, 48 * i + 16 : 48 * i + 32].astype(int)
            assert np.abs(patch - colour).max() <= 3, (colour, patch[8, 8])


def test_stored_values_are_the_formulas(tmp_path):
    """Y, Cb and Cr of ITU-R BT.709 in the limited range, from the decoder without conversion."""
    for name, colour in COLOURS.items():
        path = tmp_path / f"{name}.mp4"
        write_mp4(path, [np.full((32, 32, 3), colour, np.uint8)], 25)
        raw = ffmpeg("-i", path, "-f", "rawvideo", "-pix_fmt", "yuv420p", "-").stdout
        values = np.frombuffer(raw, np.uint8)
        got = values[:1024].mean(), values[1024:1280].mean(), values[1280:].mean()
        r, g, b = np.array(colour) / 255
        y = 0.2126 * r + 0.7152 * g + 0.0722 * b
        expected = (16 + 219 * y, 128 + 224 * (b - y) / 1.8556, 128 + 224 * (r - y) / 1.5748)
        np.testing.assert_allclose(got, expected, atol=1.2, err_msg=name)


def test_tags_name_what_was_converted(tmp_path):
    write_mp4(tmp_path / "a.mp4", moving_square(), 25)
    told = ffmpeg("-i", tmp_path / "a.mp4").stderr.decode()
    line = next(line for line in told.splitlines() if "Video:" in line)
    assert re.search(r"Video: h264 .*yuv420p\(tv, bt709[^)]*\), 42x30", line), line
    content = (tmp_path / "a.mp4").read_bytes()
    assert b"colrnclx\x00\x01\x00\x01\x00\x01" in content  # players that read the container alone


def test_it_plays_while_it_loads(tmp_path):
    write_mp4(tmp_path / "a.mp4", moving_square(), 25)
    content = (tmp_path / "a.mp4").read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat")


@pytest.mark.parametrize("size", [(30, 41), (32, 40), (31, 33), (1, 1)])
def test_sides_are_even(tmp_path, size):
    write_mp4(tmp_path / "a.mp4", moving_square(6, *size) if size[0] > 1 else [flat(size)] * 6, 25)
    video = cv2.VideoCapture(str(tmp_path / "a.mp4"))
    assert video.get(cv2.CAP_PROP_FPS) == 25
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 6
    even = (size[0] + size[0] % 2, size[1] + size[1] % 2)
    read = read_bt709(tmp_path / "a.mp4", *even)
    assert len(read) == 6
    if size[0] > 1:
        # Sharp edges of colour are blurred: two pixels share one.
        expected = moving_square(6, *size)[0]
        assert np.abs(read[0, : size[0], : size[1]].astype(float) - expected).mean() < 12


def flat(size: tuple[int, int]) -> np.ndarray:
    return np.full((*size, 3), 90, np.uint8)


def test_frames_are_taken_one_at_a_time(tmp_path):
    """Each is let go before the one after the next is asked for."""
    alive: list[int] = []
    most = []

    class Noted(np.ndarray):
        def __array_finalize__(self, source):
            self.owner = False

        def __del__(self):
            if self.owner:
                alive.pop()

    def frames():
        for _ in range(30):
            frame = np.zeros((64, 64, 3), np.uint8).view(Noted)
            frame.owner = True
            alive.append(1)
            most.append(len(alive))
            yield frame
            del frame

    write_mp4(tmp_path / "a.mp4", frames(), 30)
    assert len(most) == 30
    assert max(most) <= 3


def test_frames_that_fail_leave_nothing(tmp_path):
    def frames():
        yield flat((32, 32))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_mp4(tmp_path / "a.mp4", frames(), 30)
    assert list(tmp_path.iterdir()) == []


def test_mistakes_have_one_line(tmp_path):
    with pytest.raises(UserError, match=r"a\.mp4: there are no frames"):
        write_mp4(tmp_path / "a.mp4", [], 30)
    with pytest.raises(UserError, match="frame 1 is 40x30, the first 32x32"):
        write_mp4(tmp_path / "a.mp4", iter([flat((32, 32)), flat((30, 40))]), 30)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def failing_ffmpeg(tmp_path, monkeypatch):
    """ffmpeg that reads some frames, says its lines and ends."""

    def install(*lines: str) -> None:
        program = tmp_path / "bin" / "ffmpeg"
        program.parent.mkdir()
        told = "".join(f"print({line!r}, file=sys.stderr)\n" for line in lines)
        program.write_text(
            f"#!{sys.executable}\nimport sys\nopen(sys.argv[-1], 'wb').write(b'half')\n"
            f"sys.stdin.buffer.read(1000)\n{told}sys.exit(228)\n"
        )
        program.chmod(stat.S_IRWXU)
        monkeypatch.setattr(writing.ffmpeg, "ffmpeg_program", lambda: str(program))

    return install


def test_a_full_disk_is_an_os_error(tmp_path, failing_ffmpeg):
    failing_ffmpeg(
        "av_interleaved_write_frame(): No space left on device",
        "Error closing file: No space left on device",
        "Conversion failed!",
    )
    path = tmp_path / "out" / "a.mp4"
    with pytest.raises(OSError, match="No space") as error:
        write_mp4(path, [flat((640, 640))] * 40, 30)
    assert error.value.errno == errno.ENOSPC
    assert explain(error.value) == (
        f"{path}: No space left on device; free some space or write elsewhere"
    )
    assert list(path.parent.iterdir()) == []


def test_ffmpegs_last_line_is_told(tmp_path, failing_ffmpeg):
    failing_ffmpeg("first", "Unknown encoder 'libx264'", "")
    path = tmp_path / "out" / "a.mp4"
    with pytest.raises(UserError, match=r"a\.mp4: ffmpeg .*Unknown encoder 'libx264'$"):
        write_mp4(path, [flat((640, 640))] * 40, 30)
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("write", [write_mp4, write_gif])
def test_a_place_that_cannot_be_written(tmp_path, write):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"exists|directory") as error:
        write(tmp_path / "file" / "a.mp4", moving_square(), 30)
    assert explain(error.value) is not None


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="no folder that even root cannot write")
@pytest.mark.parametrize("write", [write_mp4, write_gif])
def test_a_folder_that_is_read_only(write):
    with pytest.raises((OSError, UserError)) as error:
        write(Path("/proc/self/a.mp4"), moving_square(), 30)
    assert str(explain(error.value)).startswith("/proc/self/a.mp4: ")
