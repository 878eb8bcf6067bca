"""Reading photos and videos: what comes out is what a person sees in the file."""

from __future__ import annotations

import cv2
import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image

from capture.input.files import Source, find_sources
from capture.input.photos import mask_file, prepare_photo, read_upright
from capture.input.video import sharpest_frames
from errors import UserError
from tests.capture_scene import pattern

ORIENTATION, MAKE, FOCAL_35MM = 0x0112, 0x010F, 0xA405


def corners(size: tuple[int, int] = (120, 80)) -> np.ndarray:
    """Red at the top left, green at the top right, blue at the bottom left."""
    width, height = size
    image = np.full((height, width, 3), 90, np.uint8)
    image[: height // 2, : width // 2] = (250, 0, 0)
    image[: height // 2, width // 2 :] = (0, 250, 0)
    image[height // 2 :, : width // 2] = (0, 0, 250)
    return image


def is_upright(image: Image.Image) -> bool:
    pixels = np.asarray(image.convert("RGB")).astype(int)
    h, w = pixels.shape[:2]
    found = [pixels[h // 5, w // 5], pixels[h // 5, -w // 5], pixels[-h // 5, w // 5]]
    return all(abs(color[i] - 250) < 15 for i, color in enumerate(found))


# How each EXIF orientation stores an upright image.
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("orientation", STORED)
def test_orientation_is_baked_in(tmp_path, orientation):
    exif = Image.Exif()
    exif[ORIENTATION], exif[MAKE] = orientation, "Maker"
    exif.get_ifd(0x8769)[FOCAL_35MM] = 26
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](corners())))
    stored.save(tmp_path / "a.JPG", exif=exif, quality=95)
    photo = prepare_photo(Source(tmp_path / "a.JPG", "a.jpg"), tmp_path / "out", 1600)
    assert photo.size == (120, 80)
    assert photo.camera == "Maker 26 120x80"
    with Image.open(tmp_path / "out" / "images" / "a.jpg") as written:
        assert is_upright(written)
        assert ORIENTATION not in written.getexif()
        assert written.getexif()[MAKE] == "Maker"


@pytest.mark.parametrize("name", ["a.heic", "b.PNG", "c.tiff", "d.webp", "e.bmp"])
def test_formats(tmp_path, name):
    if name.endswith("heic"):
        pillow_heif = pytest.importorskip("pillow_heif")
        pillow_heif.register_heif_opener()
    Image.fromarray(corners()).save(tmp_path / name)
    (source,) = find_sources(tmp_path)
    assert is_upright(read_upright(source.path, 1600)[0])


def test_heic_is_not_turned_twice(tmp_path):
    """HEIC is turned by a property of its own when it is decoded; EXIF repeats it."""
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.fromarray(corners()).save(tmp_path / "a.heic", exif=exif)
    image, tags = read_upright(tmp_path / "a.heic", 1600)
    assert is_upright(image)
    assert ORIENTATION not in tags


def test_sixteen_bits_are_not_clipped(tmp_path):
    ramp = np.tile(np.linspace(0, 65535, 128).astype(np.uint16), (80, 1))
    Image.fromarray(ramp).save(tmp_path / "a.tif")
    pixels = np.asarray(read_upright(tmp_path / "a.tif", None)[0])
    np.testing.assert_allclose(pixels[0, :, 0], np.linspace(0, 255, 128), atol=1.5)


@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_large_photos_are_reduced(tmp_path, ending):
    Image.fromarray(corners((3000, 2000))).save(tmp_path / f"a.{ending}")
    image, _ = read_upright(tmp_path / f"a.{ending}", 600)
    assert image.size == (600, 400)
    assert is_upright(image)


def test_only_photos_are_found(tmp_path):
    for name in ("b.jpg", "a.JPEG", "c 1.png", "d.heic"):
        (tmp_path / name).write_bytes(b"")
    for name in (".a.jpg", "a.xmp", "d.aae", "Thumbs.db", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    sources = find_sources(tmp_path)
    assert [source.path.name for source in sources] == ["a.JPEG", "b.jpg", "c 1.png", "d.heic"]
    assert [source.name for source in sources] == ["a.jpg", "b.jpg", "c_1.jpg", "d.jpg"]


def test_names_that_differ_in_their_ending_stay_apart(tmp_path):
    for name in ("a.jpg", "a.HEIC", "a.png", "A.tif"):
        (tmp_path / name).write_bytes(b"")
    names = [source.name.lower() for source in find_sources(tmp_path)]
    assert len(set(names)) == 4


@pytest.mark.parametrize("place", ["photos/masks", "masks"])
@pytest.mark.parametrize("name", ["a.png", "a.jpg.png", "A.JPG"])
def test_masks_are_found(tmp_path, place, name):
    (tmp_path / "photos").mkdir()
    (tmp_path / place).mkdir()
    Image.fromarray(corners()).save(tmp_path / "photos" / "a.jpg")
    mask = np.zeros((40, 60), np.uint8)
    mask[:, 30:] = 255
    Image.fromarray(mask).save(tmp_path / place / name)
    (source,) = find_sources(tmp_path / "photos")
    photo = prepare_photo(source, tmp_path / "out", 1600)
    assert photo.mask == "mask"
    with Image.open(mask_file(tmp_path / "out", photo.name)) as written:
        pixels = np.asarray(written)
    assert pixels.shape == (80, 120)
    assert pixels[:, :50].max() < 20
    assert pixels[:, 70:].min() > 235


def test_an_opaque_alpha_channel_is_no_mask(tmp_path):
    Image.fromarray(corners()).convert("RGBA").save(tmp_path / "a.png")
    photo = prepare_photo(Source(tmp_path / "a.png", "a.jpg"), tmp_path / "out", 1600)
    assert photo.mask == ""


@pytest.mark.parametrize("ending", ["mp4", "gif"])
def test_the_sharpest_frames_of_a_video(tmp_path, ending):
    """Every third frame is sharp; frames carry their number as a grey level."""
    frames = []
    for i in range(30):
        frame = pattern(3, 128)
        frame[:, :64] = 8 * i
        if i % 3 != 1:
            frame[:, 64:] = cv2.GaussianBlur(frame[:, 64:], (0, 0), 3)
        frames.append(frame)
    path = tmp_path / f"clip.{ending}"
    if ending == "mp4":
        iio.imwrite(path, np.stack(frames), fps=10, macro_block_size=16)
    else:
        iio.imwrite(path, np.stack(frames), duration=100, loop=0)
    names = sharpest_frames(path, tmp_path / "frames", 5, 1600)
    assert len(names) == 5
    levels = []
    for name in names:
        with Image.open(tmp_path / "frames" / name) as image:
            levels.append(np.asarray(image)[40:80, 16:48].mean() / 8)
    numbers = np.round(levels).astype(int)
    assert (numbers % 3 == 1).all()
    assert (np.diff(numbers) > 0).all()
    assert numbers[0] < 6
    assert numbers[-1] >= 24


def test_a_short_video_gives_all_its_frames(tmp_path):
    iio.imwrite(tmp_path / "a.mp4", np.stack([pattern(i, 64) for i in range(4)]), fps=10)
    assert len(sharpest_frames(tmp_path / "a.mp4", tmp_path / "frames", 60, 1600)) == 4


def test_a_damaged_video_is_refused(tmp_path):
    (tmp_path / "a.mov").write_bytes(b"\x00" * 100)
    with pytest.raises(UserError, match="not a readable video"):
        sharpest_frames(tmp_path / "a.mov", tmp_path / "frames", 60, 1600)
