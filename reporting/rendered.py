"""The same few views from several checkpoints, measured against their photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from tqdm import tqdm

from api import load
from datasets import load_scene
from evaluation.held_out import HeldOutFit
from evaluation.protocol import Protocol, mean_of, measure_view
from evaluation.views import render_view
from reporting.events import Picture
from writing.progress import progress_bar


@dataclass(frozen=True)
class Rendered:
    """Views of one checkpoint.

    Attributes:
        label: of the checkpoint.
        step: of the training.
        names: of the views, as their photos are named.
        photos, images: of each view.
        psnr: of each view, in dB; as eval.py measures it.
        mean_psnr, mean_ssim: over these views.
        seconds: a view.
        bytes: of the file.
    """

    label: str
    step: int
    names: list[str]
    photos: list[Picture]
    images: list[Picture]
    psnr: list[float]
    mean_psnr: float
    mean_ssim: float
    seconds: float
    bytes: int

    def named(self, label: str) -> Rendered:
        """The same under another label."""
        return replace(self, label=label)


def render_checkpoints(checkpoints: dict[str, Path], count: int) -> list[Rendered]:
    """Render `count` held-out views, evenly spread, from each checkpoint.

    Args:
        checkpoints: by their labels.

    Raises UserError where a checkpoint is damaged or its photos are not at hand.
    """
    with progress_bar(total=len(checkpoints) * count, desc="rendering", unit="view") as bar:
        return [_render(label, path, count, bar) for label, path in checkpoints.items()]


def _render(label: str, path: Path, count: int, bar: tqdm) -> Rendered:
    model = load(path)
    files = load_scene(model.options)
    # Space and bounds are those that the field was trained in.
    scene = replace(files, bounds=model.scene.bounds, region=model.scene.region)
    split = scene.splits["test" if scene.has_photos("test") else "val"]
    count = min(count, len(split))
    views = [split[(2 * i + 1) * len(split) // (2 * count)] for i in range(count)]  # evenly spread
    photos = scene.photos(views)
    right_halves = bool(model.options.encode_appearance)
    protocol = Protocol(right_halves, model.exposure is not None, model.poses_refined)
    if model.poses_refined:
        scene = replace(scene, cameras=model.scene.cameras)
        fit = HeldOutFit(scene, model.training_renderer, model.exposure, right_halves)
        scene = fit.scene_for(views, model.device)
    cameras = scene.cameras.to(model.device)
    images, rows, seconds = [], [], 0.0
    for number, index in enumerate(views):
        view = render_view(model.renderer, model.exposure, scene, cameras, index)
        mask = photos.mask(number)
        photo = photos.image(number).numpy()
        valid = None if mask is None else mask.numpy()
        rows.append(measure_view(view, photo, valid, scene.background, protocol))
        images.append(view.image)
        seconds += view.seconds / len(views)
        bar.update()
    mean = mean_of(rows)
    return Rendered(
        label,
        read_step(path),
        [frame.name if (frame := scene.frames[index]) else str(index) for index in views],
        [photos.image(number).numpy() for number in range(len(views))],
        images,
        [row["psnr"] for row in rows],
        mean["psnr"],
        mean["ssim"],
        seconds,
        path.stat().st_size,
    )


def read_step(path: Path) -> int:
    """The step of a checkpoint of train.py; 0 of an exported one."""
    content = torch.load(path, map_location="meta", weights_only=True, mmap=True)
    return int(content.get("global_step", 0))


def same_views(rendered: Sequence[Rendered]) -> list[tuple[str, list[int]]]:
    """Views that all have: the name, and its number in each."""
    shared = [name for name in rendered[0].names if all(name in r.names for r in rendered)]
    return [(name, [r.names.index(name) for r in rendered]) for name in shared]
