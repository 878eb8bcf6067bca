"""What prepare.py reads: photos, videos, models made elsewhere, and what it has left itself."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import sqlite3
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from tests.fuzz.files import colmap_binary, colmap_text
from tests.fuzz.mutate import mutate_bytes


def photo(root: Path) -> None:
    """Photos as cameras write them, with EXIF tags, a profile, and one with a mask."""
    import pillow_heif

    (root / "photos" / "masks").mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 255, (9, 12, 3), np.uint8)
    image = Image.fromarray(pixels).resize((80, 66), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Make] = "maker"
    lens = exif.get_ifd(ExifTags.IFD.Exif)
    lens[ExifTags.Base.FocalLength] = 4.2
    lens[ExifTags.Base.DateTimeOriginal] = "2026:01:01 00:00:00"
    profile = _profile()
    image.save(root / "photos/a.jpg", exif=exif, icc_profile=profile, quality=60)
    image.save(root / "photos/b.png", exif=exif, icc_profile=profile)
    image.save(root / "photos/c.tif", exif=exif, compression="tiff_lzw")
    image.save(root / "photos/d.webp", exif=exif, quality=60)
    pillow_heif.from_pillow(image).save(root / "photos/e.heic", exif=exif.tobytes(), quality=60)
    image.convert("L").save(root / "photos/masks/a.png")


def _profile() -> bytes:
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def read_photo(root: Path, rng: random.Random) -> None:
    """Each photo is prepared, or its line is kept."""
    from capture.input.photos import load_rgb
    from capture.pipeline import find_sources, read_photos
    from errors import UserError

    work = root / "work"
    photos, skipped = read_photos(find_sources(root / "photos"), work, 96)
    assert len(photos) + len(skipped) > 0
    for made in photos:
        width, height = made.size
        assert load_rgb(work / "images" / made.name).shape == (height, width, 3)
        for value in vars(made.look).values():
            assert np.isfinite(np.asarray(value, float)).all()
    if skipped:
        raise UserError(skipped[0])


def video(root: Path) -> None:
    """Half a second of noise, in the codecs and containers of phones and cameras."""
    from writing.ffmpeg import ffmpeg_program

    turned = ("-display_rotation", "90")
    for name, before, words in (
        ("a.mp4", (), ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "4")),
        (
            "b.mov",
            turned,
            (
                "-c:v",
                "mpeg4",
            ),
        ),
        (
            "c.webm",
            (),
            (
                "-c:v",
                "libvpx",
            ),
        ),
        (
            "d.avi",
            (),
            (
                "-c:v",
                "mjpeg",
            ),
        ),
    ):
        source = ("-f", "lavfi", "-i", "testsrc=size=96x64:rate=12:duration=0.5")
        command = [ffmpeg_program(), "-loglevel", "error", *before, *source, *words]
        subprocess.run([*command, str(root / name)], check=True)


def read_video(root: Path, rng: random.Random) -> None:
    from capture.input.video import sharpest_frames

    path = next(root.iterdir(), root / "none.mp4")
    names = sharpest_frames(path, root / "frames", 4, 80)
    assert 0 < len(names) <= 4
    for name in names:
        with Image.open(root / "frames" / name) as frame:
            frame.load()
            assert max(frame.size) <= 80


def mutate_video(content: bytes, rng: random.Random) -> bytes:
    """Bytes: of its head and tail, where its index lies, or anywhere."""
    place = rng.randrange(3)
    if place == 0:
        return mutate_bytes(content, rng)
    if place == 1:
        return mutate_bytes(content[:1000], rng) + content[1000:]
    return content[:-1000] + mutate_bytes(content[-1000:], rng)


def one_video(number: int):
    def make(root: Path) -> None:
        video(root)
        for path in sorted(root.iterdir())[:number] + sorted(root.iterdir())[number + 1 :]:
            path.unlink()

    return make


def model_binary(root: Path) -> None:
    colmap_binary(root, (80, 60))
    _add_database(root)


def model_text(root: Path) -> None:
    colmap_text(root, (80, 60))
    _add_database(root)


def _add_database(root: Path) -> None:
    """A database that lies beside the model, of no content."""
    import pycolmap

    with pycolmap.Database.open(root / "database.db"):
        pass


def convert_model(root: Path, rng: random.Random) -> None:
    from capture.config import PrepareConfig
    from capture.pipeline import prepare
    from datasets import load_scene
    from datasets.config import SceneConfig
    from tests.fuzz.readers import assert_finite

    scene = root / "scene"
    try:
        prepare(PrepareConfig(input=str(root), root_dir=str(scene)))
    finally:
        left = [path.name for path in root.rglob(".*") if path.name != ".prepare"]
        assert not left, f"left behind: {left}"
    assert_finite(load_scene(SceneConfig(str(scene), "transforms", holdout=0)))


def solved(root: Path) -> None:
    """A run of prepare.py on a few photos of 240 pixels that was ended before it wrote a scene."""
    from tests.capture_scene import orbit, take_photos

    take_photos(root / "photos", orbit(6, arc=60.0), (240, 180), 240.0)
    _prepare(root)
    for path in (root / "scene").iterdir():
        if path.is_file():
            path.unlink()
    for name in ("images", "sparse"):
        shutil.rmtree(root / "scene" / name)
    steps = root / "scene/.prepare/steps.json"
    entries = json.loads(steps.read_text())
    del entries["scene"]
    steps.write_text(json.dumps(entries))


def go_on(root: Path, rng: random.Random) -> None:
    """Whatever its own files have become, it makes the scene: the photos are there."""
    from datasets import load_scene
    from datasets.config import SceneConfig
    from tests.fuzz.readers import assert_finite

    _prepare(root)
    assert_finite(load_scene(SceneConfig(str(root / "scene"), "transforms", holdout=0)))


def _prepare(root: Path) -> None:
    from capture import pipeline
    from capture.config import PrepareConfig

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "_stamp", lambda path: [path.name])  # wherever it lies
        for drawn in ("draw_scene", "write_report"):  # which takes seconds
            patch.setattr(pipeline, drawn, lambda *args: None)
        pipeline.prepare(PrepareConfig(input=str(root / "photos"), root_dir=str(root / "scene")))


def mutate_database(content: bytes, rng: random.Random) -> bytes:
    """Bytes, or values of a sound database."""
    if rng.random() < 0.4:
        return mutate_bytes(content, rng)
    with tempfile.NamedTemporaryFile(suffix=".db") as file:
        Path(file.name).write_bytes(content)
        with contextlib.closing(sqlite3.connect(file.name)) as database:
            for _ in range(rng.choice((1, 1, 2))):
                table = rng.choice(TABLES)
                columns = [row[1] for row in database.execute(f"pragma table_info({table})")]
                column = rng.choice(columns)
                if rng.random() < 0.2:
                    database.execute(f"delete from {table} where random() % 2")
                    continue
                value = rng.choice((None, -1, 0, 1, 2**31, 2**62, 1e300, "x", b"", b"a" * 100))
                with contextlib.suppress(sqlite3.Error):
                    database.execute(
                        f"update {table} set {column} = ? where random() % 2", (value,)
                    )
            database.commit()
        return Path(file.name).read_bytes()


TABLES = ("cameras", "images", "keypoints", "descriptors", "matches", "two_view_geometries")
