"""Frames that are kept in a folder."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from errors import UserError
from writing.files import write_png
from writing.frames import StoredFrames, evenly, read_image


def test_a_folder_is_a_list_in_the_order_of_its_numbers(tmp_path):
    for i in (1000, 2, 0, 1, 999):
        write_png(tmp_path / f"{i:03d}.png", np.full((4, 5, 3), i % 256, np.uint8))
    write_png(tmp_path / "depth_000.png", np.zeros((4, 5, 3), np.uint8))
    frames = StoredFrames.in_folder(tmp_path)
    assert [path.stem for path in frames.paths] == ["000", "001", "002", "999", "1000"]
    assert len(frames) == 5
    assert [int(frame[0, 0, 0]) for frame in frames] == [0, 1, 2, 231, 232]
    assert frames[-1][0, 0, 0] == 232
    assert len(frames[1:3]) == 2
    assert frames[1:3][0][0, 0, 0] == 1
    assert len(StoredFrames.in_folder(tmp_path / "none")) == 0


def test_a_damaged_frame_is_named(tmp_path):
    path = tmp_path / "000.png"
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    whole = path.read_bytes()
    for content in (b"", b"no image", whole[:500], whole[:40]):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"000\.png: not a whole image"):
            read_image(path)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        read_image(path)


def test_whatever_pillow_raises_of_a_damaged_frame(tmp_path):
    path = tmp_path / "000.png"
    write_png(path, np.zeros((4, 6, 3), np.uint8))
    again = b"IHDR" + bytes(5)  # a second header, too short
    chunk = struct.pack(">I", 5) + again + struct.pack(">I", zlib.crc32(again))
    content = path.read_bytes()
    path.write_bytes(content[:-12] + chunk + content[-12:])
    with pytest.raises(UserError, match=r"000\.png: not a whole image"):
        read_image(path)


def test_even_choice():
    assert evenly(3, 5) == [0, 1, 2]
    assert evenly(200, 5) == [0, 50, 100, 149, 199]
    assert evenly(5, 1) == [0]
