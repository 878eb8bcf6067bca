"""Poses from photos: features, matches, mapping; a second, thorough try where the first loses."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pycolmap

from capture.input.photos import Photo
from capture.solve import features
from capture.solve.features import QUICK, THOROUGH, Effort
from capture.steps import Steps, digest, watch
from datasets.sparse.model import read_one
from writing.files import check_room

# A quick try that places fewer of the photos than this is followed by a thorough one.
_CONTENT = 0.95

Mapper = Literal["incremental", "global"]


@dataclass(frozen=True)
class Solution:
    """One try's outcome.

    Attributes:
        effort: name of the try.
        database: COLMAP's database with features and matches.
        model: folder of the model with the most photos; None where nothing was solved.
        models: photos in each model.
        features, partners: per photo, by its name.
    """

    effort: str
    database: Path
    model: Path | None
    models: list[int]
    features: dict[str, int]
    partners: dict[str, int]

    @property
    def placed(self) -> int:
        return max(self.models, default=0)


def solve(photos: list[Photo], folder: Path, mapper: Mapper, steps: Steps) -> Solution:
    """Find the poses of the photos in folder/images; the better of a quick and a thorough try."""
    best = _attempt(QUICK, photos, folder, mapper, steps)
    if best.placed < _CONTENT * len(photos):
        print(f"{best.placed} of {len(photos)} photos placed; trying again, thoroughly")
        thorough = _attempt(THOROUGH, photos, folder, mapper, steps)
        best = max(thorough, best, key=lambda solution: solution.placed)
    if len(best.models) > 1:
        sizes = ", ".join(map(str, sorted(best.models, reverse=True)))
        print(f"the photos fall into {len(best.models)} parts, of {sizes}; the largest is taken")
    return best


def _attempt(
    effort: Effort, photos: list[Photo], folder: Path, mapper: Mapper, steps: Steps
) -> Solution:
    inputs = [photo.to_dict() for photo in photos]
    work = folder / f"{effort.name}-{digest(inputs)}"
    for old in folder.glob(f"{effort.name}-*"):
        if old != work:
            shutil.rmtree(old)
    work.mkdir(parents=True, exist_ok=True)
    database = work / "database.db"
    key = [inputs, effort.name]

    def extract() -> dict[str, int]:
        check_room(work, features.room(photos, effort), "COLMAP's database")
        features.extract(database, folder / "images", photos, effort)
        return features.feature_counts(database)

    def match() -> dict[str, int]:
        check_room(work, features.room(photos, effort) // 2, "COLMAP's database")
        features.match(database, photos)
        return features.match_partners(database)

    counts = steps.run(f"{effort.name} features", key, extract, (database,))
    partners = steps.run(f"{effort.name} matches", key, match, (database,))
    result: dict[str, Any] = steps.run(
        f"{effort.name} {mapper} mapping",
        key,
        lambda: _map(database, folder / "images", work / mapper, effort, mapper, len(photos)),
        (work / mapper,),
    )
    model = None if result["best"] is None else work / mapper / result["best"]
    return Solution(effort.name, database, model, result["models"], counts, partners)


def _map(
    database: Path, images: Path, output: Path, effort: Effort, mapper: Mapper, count: int
) -> dict[str, Any]:
    """Run the mapper; how many photos each model has, and the name of the best one."""
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    placed = 0

    def place() -> None:
        nonlocal placed
        placed += 1

    def incremental(token: pycolmap.CancellationToken) -> None:
        pycolmap.incremental_mapping(
            database,
            images,
            output,
            options=_incremental_options(effort),
            initial_image_pair_callback=place,
            next_image_callback=place,
            cancellation_token=token,
        )

    def all_at_once(token: pycolmap.CancellationToken) -> None:
        options = pycolmap.GlobalPipelineOptions()
        options.random_seed = 0
        pycolmap.global_mapping(database, images, output, options=options)

    call = incremental if mapper == "incremental" else all_at_once
    watch("poses", count, lambda: placed if mapper == "incremental" else 0, call)
    sizes = {
        child.name: read_one(child).num_reg_images()
        for child in sorted(output.iterdir())
        if child.is_dir() and any(child.glob("images.*"))
    }
    best = max(sizes, key=lambda name: sizes[name], default=None)
    return {"models": list(sizes.values()), "best": best}


def _incremental_options(effort: Effort) -> pycolmap.IncrementalPipelineOptions:
    options = pycolmap.IncrementalPipelineOptions()
    options.random_seed = 0
    options.min_model_size = 3
    # All photos are refined together after 40 % growth instead of 10 %, and at most twice: on
    # 20 photos the same poses within 0.03 % of their extent in half of the time.
    options.ba_global_frames_ratio = 1.4
    options.ba_global_points_ratio = 1.4
    options.ba_global_max_refinements = 2
    options.mapper.init_min_num_inliers = effort.start_inliers
    options.mapper.init_min_tri_angle = effort.start_angle
    options.mapper.abs_pose_min_num_inliers = effort.pose_inliers
    return options
