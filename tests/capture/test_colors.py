"""Colours of what current phones record: HDR video, Display P3 photos. Both become sRGB."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from capture.input.hdr import can_convert, is_hdr
from capture.input.photos import read_upright
from capture.input.video import sharpest_frames
from writing.ffmpeg import ffmpeg_program

GREYS = (30, 90, 150, 200)
COLOUR = (180, 90, 60)


def bars() -> np.ndarray:
    """Grey steps above a colour, 64 pixels high."""
    image = np.zeros((64, 256, 3), np.uint8)
    for i, level in enumerate(GREYS):
        image[:32, 64 * i : 64 * (i + 1)] = level
    image[32:] = COLOUR
    return image


def write_video(path: Path, transfer: str | None) -> None:
    """A second of the bars as HEVC; in HDR 10 bits of BT.2020, white at 203 cd/m2."""
    Image.fromarray(bars()).save(path.with_suffix(".png"))
    command = [ffmpeg_program(), "-loglevel", "error", "-y", "-loop", "1", "-framerate", "4"]
    command += ["-i", str(path.with_suffix(".png")), "-t", "1"]
    if transfer is None:
        command += ["-pix_fmt", "yuv420p", "-c:v", "libx264"]
    else:
        to = f"p=bt2020:t={transfer}:m=bt2020nc:r=limited:npl=203"
        command += ["-vf", f"zscale=pin=bt709:tin=iec61966-2-1:{to},format=yuv420p10le"]
        words = f"log-level=error:colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc"
        command += ["-c:v", "libx265", "-x265-params", words]
    subprocess.run([*command, str(path)], check=True)


@pytest.mark.parametrize("transfer", ["arib-std-b67", "smpte2084"])
def test_hdr_video_becomes_the_picture_that_it_was_made_of(tmp_path, transfer):
    if not can_convert():
        pytest.skip("this ffmpeg has no zscale")
    write_video(tmp_path / "hdr.mp4", transfer)
    assert is_hdr(tmp_path / "hdr.mp4")
    names = sharpest_frames(tmp_path / "hdr.mp4", tmp_path / "frames", 3, 1600)
    assert len(names) == 3
    with Image.open(tmp_path / "frames" / names[0]) as image:
        frame = np.asarray(image.convert("RGB")).astype(int)
    assert frame.shape == (64, 256, 3)
    for i, level in enumerate(GREYS):  # highlights are rolled off a little
        assert np.abs(frame[8:24, 64 * i + 16 : 64 * i + 48] - level).max() <= 14
    assert np.abs(frame[44:60] - COLOUR).max() <= 14


def test_plain_video_is_no_hdr(tmp_path):
    write_video(tmp_path / "plain.mp4", None)
    assert not is_hdr(tmp_path / "plain.mp4")


def p3_profile() -> bytes:
    """Display P3: sRGB's curve and white with wider primaries (SMPTE EG 432-1)."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    # Columns of the matrix from linear RGB to XYZ of D50, in 15.16 fixed point.
    columns = {
        b"rXYZ": (0.51512, 0.24120, -0.00105),
        b"gXYZ": (0.29198, 0.69225, 0.04189),
        b"bXYZ": (0.15710, 0.06657, 0.78407),
    }
    for tag, xyz in columns.items():
        entry = profile.index(tag)
        start = int.from_bytes(profile[entry + 4 : entry + 8], "big") + 8
        values = b"".join(round(v * 65536).to_bytes(4, "big", signed=True) for v in xyz)
        profile[start : start + 12] = values
    name = profile.index("sRGB".encode("utf-16-be"))
    profile[name : name + 8] = "P3  ".encode("utf-16-be")
    return bytes(profile)


@pytest.mark.parametrize("ending", [".jpg", ".png", ".heic"])
def test_display_p3_becomes_srgb(tmp_path, ending):
    """Linear algebra by hand: what P3's (200, 80, 60) is in sRGB."""
    path = tmp_path / f"photo{ending}"
    if ending == ".heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    Image.new("RGB", (64, 48), (200, 80, 60)).save(path, icc_profile=p3_profile(), quality=98)
    image, _ = read_upright(path, None)
    linear = np.array([200, 80, 60]) / 255
    linear = np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    p3_to_srgb = np.array([[1.2249, -0.2247, 0], [-0.0420, 1.0419, 0], [-0.0197, -0.0786, 1.0979]])
    linear = p3_to_srgb @ linear
    expected = 255 * np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 0) ** (1 / 2.4) - 0.055
    )
    assert np.abs(np.asarray(image)[24, 32].astype(float) - expected).max() <= 3
    assert expected[0] > 212  # it differs


def test_damaged_profile_is_passed_over(tmp_path):
    Image.new("RGB", (64, 48), (200, 80, 60)).save(tmp_path / "a.png", icc_profile=b"x" * 200)
    image, _ = read_upright(tmp_path / "a.png", None)
    assert image.getpixel((0, 0)) == (200, 80, 60)
