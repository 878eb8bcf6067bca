"""Render and measure a trained field: python eval.py --ckpt_path ckpts/exp/last.ckpt

Writes views, metrics.json, a GIF and an MP4 (of the views and of their depth) to
results/<dataset_name>/<scene_name>.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from api import Model, load_model
from cli import parse
from datasets import load_scene
from datasets.scene import Scene, scene_name
from errors import UserError, run_command
from evaluation.protocol import Protocol, describe, measure_split
from evaluation.views import View, render_view
from geometry.region import find_region
from opt import EvalOptions, TrainOptions, from_dict
from paths.kinds import render_path
from training.checkpoints import Checkpoint, export_weights, read_checkpoint
from training.distributed.devices import check_count, resolve_device
from training.distributed.launch import launch
from training.distributed.processes import (
    connect_processes,
    gather_to_main,
    is_main_process,
    local_rank,
    local_world_size,
    rank,
    should_report,
    silence_other_ranks,
    world_size,
)
from writing.depth import depth_range, depth_to_colour, depth_to_grey, write_depth
from writing.files import write_json, write_png
from writing.video import write_gif, write_mp4


def main() -> None:
    silence_other_ranks()
    options = parse(EvalOptions)
    checkpoint = read_checkpoint(Path(options.ckpt_path))
    if options.export_weights:
        if checkpoint.scene is None:
            raise UserError("--export_weights takes a checkpoint of train.py")
        if is_main_process():
            export_weights(checkpoint, Path(options.export_weights))
        print(options.export_weights)
        return
    device = choose_device(options)
    launch(options.num_gpus)
    connect_processes()
    trained = options.over(from_dict(TrainOptions, checkpoint.options))
    scene, split = choose_views(options, trained, checkpoint)
    model = load_model(checkpoint, trained, scene, device)
    if split == "path":
        model = replace(model, exposure=None)

    name = options.scene_name or scene.name
    folder = Path(options.out_dir or Path("results") / trained.dataset_name / name)
    views, seconds = render_views(model, split, folder, options)
    if not is_main_process():
        return
    write_videos(folder, name, views, options.fps)
    if scene.has_photos(split):
        report = measure(model, split, views, name)
        report["seconds_per_frame"] = round(seconds, 4)
        report["ckpt_path"] = options.ckpt_path
        write_examples(folder, scene, split, report["views"])
        write_json(folder / "metrics.json", report)
        mean = report["mean"]
        print(f"mean over {len(views)} views: PSNR {mean['psnr']:.2f} dB, SSIM {mean['ssim']:.4f}")
    print(f"{seconds:.2f} s a frame; {folder / name}.gif")


def choose_device(options: EvalOptions) -> torch.device:
    """This process's own device. Raises UserError where it is absent."""
    device = resolve_device(options.accelerator)
    count = local_world_size() if world_size() > 1 else options.num_gpus
    check_count(device, count, options.accelerator)
    return torch.device("cuda", local_rank()) if device.type == "cuda" else device


def choose_views(
    options: EvalOptions, trained: TrainOptions, checkpoint: Checkpoint
) -> tuple[Scene, str]:
    """The scene to render, with its photos' places where they are at hand, and the split."""
    split = options.split or ("path" if options.path else "test")
    scene = checkpoint.scene
    if split != "path" or scene is None:
        try:
            files = load_scene(trained)
        except UserError as error:
            if scene is None or options.split or options.root_dir:
                raise
            print(f"{error}; rendering the camera path of the checkpoint")
            split = "path"
        else:
            # Space and bounds are those that the field was trained in.
            scene = (
                files
                if scene is None
                else replace(files, bounds=scene.bounds, region=scene.region or files.region)
            )
    assert scene is not None
    if scene.region is None:  # of a checkpoint from before regions
        cameras = scene.cameras[scene.splits["train"]]
        region = find_region(cameras, scene.bounds, scene.foreground_only)
        scene = replace(scene, region=region)
    if checkpoint.from_nerf_pl and scene.forward_facing:
        scene = replace(scene, bounds=replace(scene.bounds, warped_viewdirs=True))
    if split != "path" and not scene.splits.get(split):
        if options.split:
            raise UserError(f"{scene.name} has no {split} views; try --split path")
        split = "path"
    if split == "path":
        scene = render_path(scene, options.path, options.n_frames)
        if options.img_wh is not None:
            scene = replace(scene, cameras=scene.cameras.resized(*options.img_wh))
    if options.scene_name is None and trained.root_dir:
        scene = replace(scene, name=scene_name(Path(trained.root_dir)))
    return scene, split


def render_views(
    model: Model, split: str, folder: Path, options: EvalOptions
) -> tuple[list[View], float]:
    """Render and write each view of the split; returns the views, and seconds per view.

    The processes render a view each at a time; the first one writes them all, and has them all.
    """
    scene = model.scene
    cameras = scene.cameras.to(model.device)
    indices = scene.splits[split]
    views: list[View] = []
    seconds = 0.0
    silent = not is_main_process()
    with tqdm(total=len(indices), desc="rendering", unit="view", disable=silent) as bar:
        for start in range(0, len(indices), world_size()):
            number = start + rank()
            view = None
            if number < len(indices):
                view = render_view(model.renderer, model.exposure, scene, cameras, indices[number])
            together = [view for view in gather_to_main(view) if view is not None]
            seconds += max((view.seconds for view in together), default=0.0)
            for view in together:
                write_png(folder / f"{len(views):03d}.png", view.image)
                if options.save_depth:
                    path = folder / f"depth_{len(views):03d}"
                    write_depth(path, view.depth, options.depth_format)
                views.append(replace(view, depth=view.depth.astype(np.float16)))
            bar.update(len(together))
    if options.save_depth and is_main_process():
        units = {
            "unit_in_input_units": scene.units,
            "background": 0,
            "format": options.depth_format,
        }
        write_json(folder / "depth.json", units)
    return views, seconds / len(indices)


def write_videos(folder: Path, name: str, views: list[View], fps: int) -> None:
    """GIF and MP4 of the views, of their depth in colour, and in grey (nearer is lighter)."""
    near, far = depth_range([view.depth for view in views])
    images = _same_size([view.image for view in views])
    colours = _same_size([depth_to_colour(view.depth, near, far) for view in views])
    greys = _same_size([depth_to_grey(view.depth, near, far) for view in views])
    write_gif(folder / f"{name}.gif", images, fps)
    write_mp4(folder / f"{name}.mp4", images, fps)
    write_gif(folder / f"{name}_depth.gif", colours, fps)
    write_gif(folder / f"{name}_depth_grey.gif", greys, fps)


def write_examples(folder: Path, scene: Scene, split: str, rows: list[dict[str, Any]]) -> None:
    """Write the photos of the worst, a middling and the best view, for a report to compare."""
    order = sorted(range(len(rows)), key=lambda number: rows[number]["psnr"])
    for path in (folder / "examples").glob("*_photo.png"):
        path.unlink()  # of an earlier evaluation
    for number in {order[0], order[len(order) // 2], order[-1]}:
        photo = scene.photos([scene.splits[split][number]]).image(0).numpy()
        write_png(folder / "examples" / f"{number:03d}_photo.png", photo)


def _same_size(images: list[np.ndarray]) -> list[np.ndarray]:
    """Photos of several sizes, cut to what they share: a video has one size."""
    height, width = np.min([image.shape[:2] for image in images], axis=0)
    return [np.ascontiguousarray(image[:height, :width]) for image in images]


def measure(model: Model, split: str, views: list[View], name: str) -> dict[str, Any]:
    """Compare the views with their photos, by the protocol of the run."""
    scene, options = model.scene, model.options
    photos = scene.photos(scene.splits[split])
    protocol = Protocol(bool(options.encode_appearance), model.exposure is not None)
    rows = measure_split(scene, split, views, photos, protocol)
    return describe(
        *(scene, split, name, views, rows, protocol),
        masked=photos.valid is not None,
        dataset_name=options.dataset_name,
        holdout=options.holdout,
    )


if __name__ == "__main__":
    run_command(main, should_report)
