"""The way from photos, a video or a COLMAP model to a scene, in steps that can be resumed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from capture.checks.advice import Outcome, advise
from capture.checks.check import (
    FEWEST,
    check_photos,
    check_solution,
    near_duplicates,
    parallax,
)
from capture.checks.drift import color_drift
from capture.checks.report import (
    CAMERAS,
    REPORT,
    SHEET,
    Load,
    draw_scene,
    make_report,
    write_report,
)
from capture.config import PrepareConfig
from capture.convert import convert
from capture.input.files import VIDEOS, Source, find_sources
from capture.input.photos import Photo, load_rgb, mask_file, prepare_photo
from capture.input.video import sharpest_frames
from capture.output.export import RESULTS, export
from capture.output.orient import Placement
from capture.solve.aruco import Tags, find_tags, most_seen
from capture.solve.features import turned_on_the_spot
from capture.solve.solve import Solution, read_own, solve
from capture.solve.tag_frame import to_tag_frame
from capture.solve.tag_scene import NPZ, check_one_size, make_tag_scene, write_npz
from capture.steps import Steps, forget, is_of_damage, own
from datasets.sparse.model import camera_to_world, model_folders, registered
from errors import UserError
from geometry.capture_kind import capture_kind
from writing.progress import progress_bar

# The folder of what a run needs to go on; it can be deleted when the scene is good.
WORK = ".prepare"
# With tags: features place the photos, unless they place fewer than this share of those that show
# a tag.
_BY_FEATURES = 0.9


def prepare(options: PrepareConfig) -> dict[str, Any]:
    """Make the scene; its report. Steps that are finished already are not repeated.

    Where what an earlier run has left is damaged, all of them are. Raises UserError, with the
    reason in plain words, where the input is no capture that poses can be found from.
    """
    work = Path(options.root_dir) / WORK
    goes_on = work.is_dir()
    try:
        return _prepare(options)
    except Exception as error:
        if not goes_on or not is_of_damage(error, work):
            raise
    print(f"{work}: what an earlier run has left there is damaged; starting again")
    forget(work)
    return _prepare(options)


def _prepare(options: PrepareConfig) -> dict[str, Any]:
    source, root = Path(options.input), Path(options.root_dir)
    work = root / WORK
    steps = Steps(work)
    _check_places(source, root, steps)
    if source.is_dir() and model_folders(source):
        return convert(source, root, work, options.max_size, steps)
    photos, skipped = read_photos(_sources(source, work, options, steps), work, options.max_size)
    key = [[photo.to_dict() for photo in photos], skipped]
    pictures = (root / CAMERAS, root / REPORT, root / SHEET)
    always = ("images", "sparse", "poses_bounds.npy", "transforms.json")
    outputs = (*(root / name for name in always), *pictures)
    if options.aruco:
        tags = _calibration_photos(options, work)
        key += [options.tag_size, options.mapper, [_stamp(path) for path in tags]]
        return steps.run(
            "scene",
            key,
            lambda: _make_tag_scene(photos, skipped, root, work, options, steps, tags),
            (*outputs, root / NPZ),
        )
    report: dict[str, Any] = steps.run(
        "scene",
        [*key, options.mapper],
        lambda: _make_scene(photos, skipped, root, work, options, steps),
        (*outputs, root / "database.db"),
    )
    return report


def read_photos(
    sources: Sequence[Source], work: Path, max_size: int
) -> tuple[list[Photo], list[str]]:
    """Bring all photos to work/images, one at a time; and a line for each that cannot be read."""
    done = Steps(work / "photos")
    photos, skipped = [], []
    for source in progress_bar(sources, desc="photos"):

        def read(source: Source = source) -> dict[str, Any]:
            try:
                return prepare_photo(source, work, max_size).to_dict()
            except UserError as error:
                return {"error": str(error)}

        inputs = [_stamp(source.path), source.mask and _stamp(source.mask), max_size]
        values = done.run(source.name, inputs, read)
        if "error" in values:
            skipped.append(values["error"])
        elif (work / "images" / source.name).exists():
            photos.append(Photo.from_dict(values))
        else:
            done.entries.pop(source.name)
            photos.append(Photo.from_dict(done.run(source.name, inputs, read)))
    for line in skipped:
        print(f"skipped: {line}")
    return photos, skipped


def _sources(source: Path, work: Path, options: PrepareConfig, steps: Steps) -> list[Source]:
    if source.is_dir():
        return find_sources(source)
    frames = work / "frames"
    names = steps.run(
        "frames",
        [_stamp(source), options.n_frames],
        lambda: sharpest_frames(source, frames, options.n_frames, options.max_size),
        (frames,),
    )
    return [Source(frames / name, f"{Path(name).stem}.jpg") for name in names]


def _make_scene(
    photos: list[Photo],
    skipped: list[str],
    root: Path,
    work: Path,
    options: PrepareConfig,
    steps: Steps,
    tags: Tags | None = None,
) -> dict[str, Any] | None:
    """The report of a scene that features place, in the frame of the tags where there are any.

    None where the tags alone tell more.
    """
    video = Path(options.input).is_file()
    _check_count(photos, skipped, video)
    verdicts = check_photos(photos)
    found = solve(photos, work, options.mapper, steps)

    def load(name: str) -> np.ndarray:
        return load_rgb(work / "images" / name)

    if found.model is None or found.placed < max(FEWEST, 0.5 * len(photos)):
        if tags is not None:
            return None
        _stop(photos, skipped, verdicts, found, root, load, video)
    assert found.model is not None
    model = read_own(found.model)
    placed = {image.name for image in registered(model)}
    placement, by_tag = None, {}
    if tags is not None:
        assert options.tag_size is not None
        if len(placed) < _BY_FEATURES * sum(map(bool, tags.values())):
            return None
        tag = to_tag_frame(model, tags, options.tag_size)
        if tag is None:
            return None
        kind = capture_kind(camera_to_world(registered(model)))
        placement = Placement(kind, np.eye(4), "tag")
        by_tag = {"tag": tag, "tag_size": options.tag_size}
    drift = color_drift(model, load)
    verdicts = check_solution(
        verdicts,
        placed,
        found.features,
        found.partners,
        drift,
        found.contested,
        found.consistency,
    )
    angle = parallax(model)
    own(steps)
    masks = {photo.name: photo.mask for photo in photos}

    def read(name: str) -> tuple[np.ndarray, tuple[str, np.ndarray] | None]:
        mask = None
        if masks[name]:
            with Image.open(mask_file(work, name)) as image:
                mask = (masks[name], np.asarray(image))
        return load(name), mask

    exported = export(model, read, root, work, found.database, placement)
    if tags is not None:
        write_npz(root / NPZ, exported, root / "images")
    outcome = Outcome(
        list(verdicts.values()),
        len(placed),
        angle,
        on_the_spot=turned_on_the_spot(found.database),
        consistency=found.consistency,
        by_order=found.by_order,
        sizes=len({photo.size for photo in photos}),
        video=video,
    )
    solver = {
        "try": found.effort,
        "mapper": options.mapper,
        "models": found.models,
        "points": model.num_points3D(),
        "reprojection_error_px": round(model.compute_mean_reprojection_error(), 3),
        "parallax_degrees": round(angle, 1),
        **found.figures(),
        **by_tag,
    }
    report = make_report(
        photos, skipped, verdicts, found.features, advise(outcome), exported, solver
    )
    write_report(root, report, photos, load)
    draw_scene(root, model, exported, photos, load)
    return report


def _make_tag_scene(
    photos: list[Photo],
    skipped: list[str],
    root: Path,
    work: Path,
    options: PrepareConfig,
    steps: Steps,
    calibration: list[Path],
) -> dict[str, Any]:
    """Photos in the frame of a printed tag: placed by their features, else by the tags alone."""
    assert options.tag_size is not None
    _check_count(photos, skipped, Path(options.input).is_file())
    check_one_size(photos)
    tags = {photo.name: find_tags(load_rgb(work / "images" / photo.name)) for photo in photos}
    most_seen(list(tags.values()))  # says so where no photo shows one
    report = _make_scene(photos, skipped, root, work, options, steps, tags)
    if report is not None:
        return report
    print("features do not place the photos, or not as the tags say: the tags alone do")
    own(steps)
    return make_tag_scene(photos, skipped, root, work, options.tag_size, tags, calibration)


def _calibration_photos(options: PrepareConfig, work: Path) -> list[Path]:
    """The photos of --calibration, upright and reduced like the others."""
    if options.calibration is None:
        return []
    folder = Path(options.calibration)
    if not folder.is_dir():
        raise UserError(f"--calibration {folder}: no such folder")
    place = work / "calibration"
    photos, _ = read_photos(find_sources(folder), place, options.max_size)
    return [place / "images" / photo.name for photo in photos]


def _check_count(photos: Sequence[Photo], skipped: Sequence[str], video: bool) -> None:
    """Stop before the long work where it cannot succeed."""
    unread = f" ({len(skipped)} files could not be read)" if skipped else ""
    if len(photos) < FEWEST:
        count = "1 photo is" if len(photos) == 1 else f"{len(photos)} photos are"
        raise UserError(
            f"{count} too few to find poses{unread}: take 30 to 60, walking around the subject"
        )
    different = len(photos) - len(near_duplicates(photos))
    if different < FEWEST:
        remedy = "film for longer, walking" if video else "take each from another place"
        raise UserError(
            f"the {len(photos)} {'frames' if video else 'photos'} show only {different} different "
            f"view{'s' if different > 1 else ''}{unread}, too little motion for depth: {remedy}"
        )


def _stop(
    photos: Sequence[Photo],
    skipped: Sequence[str],
    verdicts: Mapping[str, Any],
    found: Solution,
    root: Path,
    load: Load,
    video: bool,
) -> None:
    """Write what is known, and say in one line why there is no scene."""
    placed: set[str] = set()
    if found.model is not None:
        placed = {image.name for image in registered(read_own(found.model))}
    verdicts = check_solution(verdicts, placed, found.features, found.partners, {}, found.contested)
    outcome = Outcome(
        list(verdicts.values()),
        len(placed),
        on_the_spot=turned_on_the_spot(found.database),
        sizes=len({photo.size for photo in photos}),
        video=video,
    )
    advice = advise(outcome)
    report = make_report(
        photos,
        skipped,
        verdicts,
        found.features,
        advice,
        None,
        {"try": found.effort, "models": found.models},
    )
    write_report(root, report, photos, load)
    reason = " ".join(advice) or "The photos share too little with each other."
    raise UserError(
        f"only {found.placed} of {len(photos)} photos could be placed, after all tries; "
        f"no scene was written. {reason} See {root / SHEET}"
    )


def _check_places(source: Path, root: Path, steps: Steps) -> None:
    """Refuse to read what is not there, and to write over what is not ours."""
    if not source.exists():
        raise UserError(f"--input {source}: no such folder or file")
    if source.is_file() and source.suffix.lower() not in VIDEOS:
        known = ", ".join(ending[1:] for ending in VIDEOS)
        raise UserError(f"--input {source}: is neither a folder of photos nor a video ({known})")
    if root.exists() and not root.is_dir():
        raise UserError(f"--root_dir {root}: is a file, not a folder")
    for path in (root / WORK, *(root / WORK).rglob("*")):
        if path.is_symlink():
            raise UserError(f"{path}: leads elsewhere, and is not from this command; delete it")
    here, there = source.resolve(), root.resolve()
    if here == there or any((there / name) in (here, *here.parents) for name in RESULTS):
        raise UserError(
            f"--root_dir {root}: the scene would be written over its own input; name another folder"
        )
    if "owner" in steps.entries:
        return
    for name in RESULTS:
        if (root / name).exists():
            raise UserError(
                f"{root / name}: is there already, and not from this command; move it away or "
                "name another --root_dir"
            )


def _stamp(path: Path) -> list[Any]:
    """What changes when a file does."""
    status = path.stat()
    return [str(path.resolve()), status.st_size, status.st_mtime_ns]
