"""What reads the files of each kind, and the assertion that what it makes of them is finite."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from datasets import load_scene
from datasets.config import SceneConfig
from datasets.scene import Scene
from geometry.rays import image_rays
from tests.scenes import circle_poses

# Steps of a run, with what they depend on and what they make.
STEPS: dict[str, tuple[Any, Any]] = {
    "photos": (["a", 1], {"names": ["a.jpg", "b.jpg"], "size": [12, 9]}),
    "poses": ({"effort": "quick"}, [1.5, None, "sparse/0"]),
}


def read_scene(dataset_name: str) -> Callable[[Path, random.Random], None]:
    """Loads a scene of this format, its photos and the points of its sparse model."""

    def read(root: Path, rng: random.Random) -> None:
        options: dict[str, Any] = {
            "spheric_poses": rng.choice((None, None, None, True, False)),
            "img_wh": rng.choice((None, None, (8, 6))),
            "cut_out": rng.choice((None, None, None, True, False)),
            "holdout": rng.choice((8, 8, 0, 2)),
        }
        path = next(root.glob("*.npz"), root) if dataset_name == "npz" else root
        scene = load_scene(SceneConfig(str(path), dataset_name, **options))
        assert_finite(scene)
        views = [i for i, frame in enumerate(scene.frames) if frame is not None]
        photos = scene.photos(views, alpha=True)
        assert len(photos) == len(views)
        observed = scene.observations()
        if observed is not None:
            assert bool(torch.isfinite(observed.point).all())
            assert int(observed.camera.max()) < len(scene.cameras)

    return read


def assert_finite(scene: Scene) -> None:
    """Cameras, bounds, region and rays of a scene are finite numbers."""
    assert scene.is_finite()
    assert scene.splits["train"]
    for split in scene.splits.values():
        assert all(0 <= i < len(scene.cameras) for i in split)
    assert scene.bounds.near < scene.bounds.far
    assert math.isfinite(scene.units)
    assert scene.units > 0
    for index in (0, len(scene.cameras) - 1):
        if int(scene.cameras.size[index].prod()) < 10_000:
            rays = image_rays(scene.cameras, scene.bounds, index)
            assert bool(torch.isfinite(rays.origins).all())
            assert bool(torch.isfinite(rays.directions).all())


def read_checkpoint_file(root: Path, rng: random.Random) -> None:
    from training.checkpoints import exported_content, read_checkpoint
    from training.packing import MOST_BITS, pack

    checkpoint = read_checkpoint(next(root.glob("*.ckpt"), root / "none.ckpt"))
    checkpoint.settled_options()
    if checkpoint.scene is not None:
        assert_finite(checkpoint.scene)
        packed = pack(checkpoint.state_dict, MOST_BITS)
        torch.save(exported_content(checkpoint, packed), root / "weights.ckpt")
        read_checkpoint(root / "weights.ckpt")


def render_weights(root: Path, rng: random.Random) -> None:
    """A view of eight by eight pixels; weights that are not finite are as somebody made them."""
    from api import load

    model = load(root / "weights.ckpt", "cpu")
    image = model.render(model.scene.cameras[0], (8, 8))
    assert image.rgb.shape == (8, 8, 3)


def read_path_file(root: Path, rng: random.Random) -> None:
    from geometry.cameras import make_cameras
    from geometry.rays import Bounds
    from paths.file import read_path

    cameras = make_cameras(circle_poses(3), [(30.0, 30.0, 20.0, 15.0)] * 3, [(40, 30)] * 3)
    to_input = np.diag([2.0, 2.0, 2.0, 1.0])
    scene = Scene("ball", cameras, (None,) * 3, {"train": [0]}, Bounds(1.0, 6.0), to_input=to_input)
    path = read_path(root / "path.json", scene, (30.0, 30.0, 20.0, 15.0), (40, 30))
    assert bool(torch.isfinite(path.c2w).all())
    assert bool(torch.isfinite(path.intrinsics).all())
    assert bool((path.intrinsics[:, :2] > 0).all())


def read_log_files(root: Path, rng: random.Random) -> None:
    from reporting.events import read_log, split_comparison

    log = read_log([root])
    for images in log.images.values():
        for _, encoded in images:
            split_comparison(encoded)


def read_run(root: Path, rng: random.Random) -> None:
    from reporting.points import table, usual_points
    from reporting.run import load_run

    run = load_run("exp", root / "logs", root / "results")
    assert isinstance(run.missing, list)
    assert run.step >= 0 or "step" in run.record
    for view in run.compared():
        assert view.error.size
    run.shots()
    table(run, usual_points(run, (1, 2)))
    if run.scene is not None:
        assert_finite(run.scene)


def write_report(root: Path, rng: random.Random) -> None:
    """The whole page, figures and all, or nothing of it."""
    from reporting.contents import describe
    from reporting.points import usual_points
    from reporting.run import load_run
    from writing.html.page import write_page

    run = load_run("exp", root / "logs", root / "results")
    contents = describe(run, root / "figures", usual_points(run, (1, 2)), lambda model: {})
    write_page(
        root / "report.html",
        "report.html",
        **{"title": "t", "written": "w", "runs": [contents], "curves": []},
        **{"epochs": (1, 2), "command": "c", "labels": {}, "rendered": [], "rows": []},
        several=[],
    )


def read_steps(root: Path, rng: random.Random) -> None:
    """Whatever is written down: each step's result is the one that it makes."""
    from capture.steps import Steps

    steps = Steps(root)
    for name, (inputs, result) in STEPS.items():
        known = steps.entries.get(name, {"sum": ""})
        # One without a sum is from an earlier version, and believed.
        assert steps.run(name, inputs, partial(copy, result)) == result or "sum" not in known
