"""The notebook from photos to the film, on photos of a made-up place."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pillow_heif
from PIL import Image

from tests.capture_scene import orbit, take_photos
from tests.helpers.notebooks import TINY_VOXELS, execute, project_zip

COUNT = 16


def zip_of_photos(folder: Path) -> Path:
    """Photos in a zip, one of them HEIC, with what a Mac adds."""
    photos = take_photos(folder / "photos", orbit(COUNT), (320, 240), 320.0)
    pillow_heif.register_heif_opener()
    with Image.open(photos / "03.jpg") as image:
        image.save(photos / "03.heic", quality=95)
    (photos / "03.jpg").unlink()
    path = folder / "pig photos.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for photo in sorted(photos.iterdir()):
            archive.write(photo, f"pig/{photo.name}")
            archive.writestr(f"__MACOSX/pig/._{photo.name}", b"")
    shutil.rmtree(photos)
    return path


def test_photos_become_a_film_and_a_report(tmp_path: Path):
    settings = {
        "PROJECT": project_zip(tmp_path / "nerf.zip").name,
        "PHOTOS": zip_of_photos(tmp_path).name,
        "NAME": "pig",
        "TRAIN_FLAGS": TINY_VOXELS.format(150) + " --img_wh 32 24",
        "EVAL_FLAGS": "--n_frames 3 --accelerator cpu",
    }
    ran = execute("photos_to_gif", tmp_path, **settings)
    assert f"{COUNT} of {COUNT} photos placed" in ran.text
    assert "held-out views: psnr" in ran.text
    assert ran.count("image/png") == 3  # cameras, photos, held-out views
    assert ran.html.count("<video controls") == 2
    assert "data:video/mp4;base64" in ran.html
    assert ran.html.count("<iframe srcdoc") == 2  # the page, the report
    keep = tmp_path / "nerf"
    for name in ("pig.mp4", "pig.gif", "pig_depth.mp4", "path.json"):
        assert (keep / "results/pig/path" / name).is_file()
    with zipfile.ZipFile(tmp_path / "nerf-work/pig.zip") as archive:
        names = archive.namelist()
    assert {"results/pig/path/pig.mp4", "reports/pig/report.html"} <= set(names)
    assert "results/pig/path/000.png" not in names
    # What can be made again stays on the machine's disk.
    assert sorted(path.name for path in (keep / "ckpts/pig").iterdir())[-1] == "last.ckpt"
    with zipfile.ZipFile(keep / "scenes/pig.zip") as archive:
        names = archive.namelist()
    assert "poses_bounds.npy" in names
    assert not any("database" in name or ".prepare" in name for name in names)

    # The machine is lost, and all cells are run again.
    shutil.rmtree(tmp_path / "nerf-work")
    settings["TRAIN_FLAGS"] = settings["TRAIN_FLAGS"].replace("150", "153", 1)
    ran = execute("photos_to_gif", tmp_path, until="place.train", **settings)
    assert "pig is prepared already" in ran.text
    assert "prepare.py" not in ran.text
    assert "--ckpt_path ckpts/pig/last.ckpt" in ran.text
    assert "153 steps in" in ran.text
