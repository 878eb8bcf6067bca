"""A COLMAP reconstruction made elsewhere to a scene: the poses are taken as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pycolmap
from PIL import Image

from capture.checks.advice import Outcome, advise
from capture.checks.check import check_photos, check_solution, parallax
from capture.checks.drift import color_drift
from capture.checks.measure import measure_photo
from capture.checks.report import CAMERAS, REPORT, SHEET, draw_scene, make_report, write_report
from capture.input.files import PHOTOS
from capture.input.photos import Photo, read_upright
from capture.output.export import export
from capture.steps import Steps, own
from datasets.files.images import open_image, to_srgb
from datasets.sparse.model import model_folders, read_model, registered
from errors import UserError

# A model that places fewer of the photos beside it is not called good.
_MOST = 0.9


def convert(source: Path, root: Path, work: Path, max_size: int, steps: Steps) -> dict[str, Any]:
    """Write the scene of the model and photos in `source`; its report.

    Photos that the model does not place are left out, and so are placed ones whose file is
    missing, with a word.
    """
    folder = next((f for f in (source / "images", source.parent / "images") if f.is_dir()), source)
    models = [path for place in model_folders(source) for path in sorted(place.iterdir())]
    stamps = [[str(p), p.stat().st_size, p.stat().st_mtime_ns] for p in models if p.is_file()]
    always = ("images", "sparse", "poses_bounds.npy", "transforms.json")
    outputs = tuple(root / name for name in always)
    return steps.run(
        "scene",
        ["convert", str(folder.resolve()), stamps, max_size],
        lambda: _convert(source, folder, root, work, max_size, steps),
        (*outputs, root / CAMERAS, root / REPORT, root / SHEET),
    )


def _convert(
    source: Path, folder: Path, root: Path, work: Path, max_size: int, steps: Steps
) -> dict[str, Any]:
    model = read_model(source)
    files = {image.name: _find(folder, image.name) for image in registered(model)}
    skipped = [f"{name}: has a pose but no photo" for name, path in files.items() if path is None]
    if len(skipped) == len(files):
        raise UserError(f"{folder}: none of the model's photos is there ({next(iter(files))}, ...)")
    for image in registered(model):
        if files[image.name] is None:
            model.deregister_frame(image.frame_id)
    _limit_cameras(model, max_size)
    cameras = {image.name: model.cameras[image.camera_id] for image in registered(model)}
    size = {name: (camera.width, camera.height) for name, camera in cameras.items()}
    masks = {image.name: _find(source / "masks", image.name) for image in registered(model)}

    def read(name: str) -> tuple[np.ndarray, tuple[str, np.ndarray] | None]:
        path = files[name]
        assert path is not None
        image = _read_stored(path, size[name])
        mask = None
        if (mask_path := masks[name]) is not None:
            mask = ("mask", np.asarray(_read_stored(mask_path, size[name]).convert("L")))
        elif image.mode == "RGBA":
            mask = ("alpha", np.asarray(image.getchannel("A")))
        return np.asarray(image.convert("RGB")), mask

    def load(name: str) -> np.ndarray:
        return read(name)[0]

    images = registered(model)
    photos = [
        Photo(
            image.name,
            image.name,
            size[image.name],
            f"camera {image.camera_id}",
            "",
            "",
            measure_photo(load(image.name)),
        )
        for image in images
    ]
    features = {image.name: image.num_points2D() for image in images}
    drift = color_drift(model, load)
    verdicts = check_solution(check_photos(photos), set(features), {}, {}, drift)
    own(steps)
    database = source / "database.db"
    try:
        exported = export(model, read, root, work, database if database.is_file() else None)
    except UserError as error:  # of its cameras or points
        raise UserError(f"{source}: {error}") from error
    solver = {"try": "converted", "models": [len(images)], "points": model.num_points3D()}
    angle = parallax(model) if model.num_points3D() else None
    if angle is not None:
        solver["parallax_degrees"] = round(angle, 1)
    advice = advise(Outcome(list(verdicts.values()), len(photos), angle))
    there = sum(path.suffix.lower() in PHOTOS for path in folder.iterdir())
    if there and len(images) < _MOST * there:
        advice.insert(
            0, f"The model places {len(images)} of {there} photos; the others are left out."
        )
    report = make_report(photos, skipped, verdicts, features, advice, exported, solver)
    write_report(root, report, photos, load)
    draw_scene(root, model, exported, photos, load)
    return report


def _find(folder: Path, name: str) -> Path | None:
    """The file of an image of the model: as it is named there, or with another ending."""
    for base in (folder / name, folder / Path(name).name):
        if base.is_file():
            return base
        for ending in PHOTOS:
            for path in (base.with_suffix(ending), base.with_name(base.name + ending)):
                if path.is_file():
                    return path
    return None


def _limit_cameras(model: pycolmap.Reconstruction, max_size: int) -> None:
    """Scale cameras, and the positions of features in their photos, to max_size."""
    factors = {}
    for camera_id, camera in model.cameras.items():
        factor = min(1.0, max_size / max(camera.width, camera.height))
        width, height = max(1, round(camera.width * factor)), max(1, round(camera.height * factor))
        factors[camera_id] = np.array([width / camera.width, height / camera.height])
        camera.rescale(width, height)
    for image in model.images.values():
        for point in image.points2D:
            point.xy = point.xy * factors[image.camera_id]


def _read_stored(path: Path, size: tuple[int, int]) -> Image.Image:
    """The photo at the camera's size, turned by its EXIF tag only where the camera's sides say so.

    COLMAP itself knows no orientation.
    """
    with open_image(path) as image:
        turned = (image.size[0] > image.size[1]) != (size[0] > size[1])
        kept = to_srgb(image).convert("RGBA" if image.has_transparency_data else "RGB")
    if turned:
        kept = read_upright(path, None)[0]
    return kept if kept.size == size else kept.resize(size, Image.Resampling.LANCZOS)
