"""Render and measure a trained field: python eval.py --ckpt_path ckpts/pig/last.ckpt

Each split has its own folder in results/<dataset_name>/<scene_name>: of photos, the rendered
views, metrics.json, a contact sheet and a slide show; of the camera path (--split path), its
frames, an MP4 and a GIF of them and of their depth, path.json and path.png.
"""

from __future__ import annotations

if __name__ == "__main__":
    import interrupts  # noqa: F401 (before the imports that take time)

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from api import Model, load_model
from cli import parse, to_dict, typed_command
from datasets import check_format, load_scene
from datasets.formats.transforms_of import transforms_of
from datasets.scene import Scene, scene_name
from errors import UserError, run_command
from evaluation.album import SHEET, write_album
from evaluation.film import GifLimits, write_films
from evaluation.flight import (
    film_depth_range,
    film_scene,
    plan_flight,
    rays_per_second,
    write_path,
)
from evaluation.held_out import HeldOutFit, fitted_line, moves
from evaluation.perceptual import Lpips, load_lpips
from evaluation.protocol import Protocol, describe, measure_split
from evaluation.store import FrameStore
from evaluation.views import View, render_view
from exporting.weights import export_weights
from opt import EvalOptions, TrainOptions, from_checkpoint
from paths.path import PathConfig
from training.checkpoints import Checkpoint, read_checkpoint
from training.distributed.devices import check_count, resolve_device
from training.distributed.launch import launch
from training.distributed.processes import (
    broadcast_from_rank0,
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
from writing.depth import write_depth
from writing.files import write_json, write_png
from writing.progress import progress_bar

# The preview that comes with the test views: frames, frames per second, longer side in pixels.
_PREVIEW_FRAMES, _PREVIEW_FPS, _PREVIEW_SIDE = 48, 12.0, 400
# So long it may take; and a smaller one than this tells nothing.
_PREVIEW_SECONDS, _PREVIEW_LEAST = 60.0, 100


def main() -> None:
    silence_other_ranks()
    options = parse(EvalOptions)
    checkpoint = read_checkpoint(Path(options.ckpt_path))
    if options.export_weights:
        if is_main_process():
            write_weights(options, checkpoint)
        return
    if options.save_poses:
        save_poses(options, checkpoint)
        return
    device = choose_device(options)
    launch(options.num_gpus)
    connect_processes()
    trained = options.over(from_checkpoint(checkpoint.settled_options(), options.ckpt_path))
    check_format(trained.dataset_name)
    scene, splits = choose_splits(options, trained, checkpoint)
    model = load_model(checkpoint, trained, scene, device)
    name = options.scene_name or scene.name
    folder = Path(options.out_dir or Path("results") / trained.dataset_name / name)
    for split in splits:
        if split in ("path", "preview"):
            fly(model, options, folder / split, name, preview=split == "preview")
        elif scene.has_photos(split):
            compare(model, options, split, folder / split, name)
        else:  # poses without photos are there to be flown along
            film = replace(scene, splits={**scene.splits, "path": scene.splits[split]})
            write_film(model, film, options, folder / split, name, options.fps)


def write_weights(options: EvalOptions, checkpoint: Checkpoint) -> None:
    """What --export_weights asks for. Raises UserError where the checkpoint is of nerf_pl."""
    if checkpoint.scene is None:
        raise UserError("--export_weights takes a checkpoint of train.py")
    trained = from_checkpoint(checkpoint.options, options.ckpt_path)
    model = load_model(checkpoint, trained, checkpoint.scene, resolve_device(options.accelerator))
    path = Path(str(options.export_weights))
    print(f"{path} ({export_weights(model, checkpoint, path, options.export_mb)})")


def save_poses(options: EvalOptions, checkpoint: Checkpoint) -> None:
    """Write the refined cameras, the held-out ones fitted. Raises UserError where none are."""
    if not checkpoint.part("refinement"):
        raise UserError(f"{options.ckpt_path}: not of a train.py --refine_poses")
    trained = options.over(from_checkpoint(checkpoint.settled_options(), options.ckpt_path))
    given = load_scene(trained)
    assert checkpoint.scene is not None
    given = replace(given, bounds=checkpoint.scene.bounds, region=checkpoint.scene.region)
    model = load_model(checkpoint, trained, given, choose_device(options))
    train = set(given.splits["train"])
    held_out = [i for i, frame in enumerate(given.frames) if frame is not None and i not in train]
    scene = fit_held_out(model, held_out)
    path = Path(str(options.save_poses))
    write_json(path, transforms_of(scene, given.cameras, path))
    print(f"{path}: {len(train)} refined cameras, {len(held_out)} fitted to their photos")
    print(f"next: python train.py --dataset_name transforms --root_dir {path.parent} ...")


def fit_held_out(model: Model, views: list[int]) -> Scene:
    """The scene with these cameras fitted to their photos, the field fixed."""
    right_halves = bool(model.options.encode_appearance)
    fit = HeldOutFit(model.scene, model.training_renderer, model.exposure, right_halves)
    return fit.scene_for(views, model.device)


def choose_device(options: EvalOptions) -> torch.device:
    """This process's own device. Raises UserError where it is absent."""
    device = resolve_device(options.accelerator)
    count = local_world_size() if world_size() > 1 else options.num_gpus
    check_count(device, count, options.accelerator)
    return torch.device("cuda", local_rank()) if device.type == "cuda" else device


def choose_splits(
    options: EvalOptions, trained: TrainOptions, checkpoint: Checkpoint
) -> tuple[Scene, list[str]]:
    """The scene, with its photos where they are at hand and wanted, and the splits to render."""
    split = options.split or ("path" if options.path else None)
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
                else replace(
                    files,
                    bounds=scene.bounds,
                    region=scene.region or files.region,
                    crop=scene.crop,
                )
            )
    assert scene is not None
    if options.no_crop:
        scene = replace(scene, crop=None)
    if scene.crop is not None:
        print("rendered within the crop box of the checkpoint; --no_crop renders all of the scene")
    if checkpoint.from_nerf_pl and scene.forward_facing:
        scene = replace(scene, bounds=replace(scene.bounds, warped_viewdirs=True))
    if options.scene_name is None and trained.root_dir:
        scene = replace(scene, name=scene_name(Path(trained.root_dir)))
    if split is not None and split != "path" and not scene.splits.get(split):
        raise UserError(f"{scene.name} has no {split} views; try --split path")
    if split is not None:
        return scene, [split]
    return scene, ["preview", "test"] if scene.splits.get("test") else ["path"]


def fly(model: Model, options: EvalOptions, folder: Path, name: str, preview: bool) -> None:
    """Plan the flight, and film it."""
    scene = model.scene
    n_frames = options.n_frames or max(2, round(options.path_seconds * options.fps))
    n_frames = min(n_frames, _PREVIEW_FRAMES) if preview else n_frames
    config = PathConfig(
        options.path,
        n_frames,
        options.path_height,
        options.path_radius,
        options.path_roll,
    )
    device = str(model.device)
    # Planned by one process: others might round to another path.
    path = size = None
    if is_main_process():
        speed = rays_per_second(model.renderer, scene, device)
        path = plan_flight(model.renderer, scene, config, device, speed)
        size = options.img_wh
        if preview:
            size = preview_size(size or tuple(path.cameras.size[0].tolist()), n_frames, speed)
    path, size = broadcast_from_rank0((path, size))
    assert path is not None
    if preview and size is None:
        print("no preview of the flight: this model renders too slowly; see --split path")
        return
    film = film_scene(scene, path, size)
    fps = _PREVIEW_FPS if preview else options.fps
    if is_main_process():
        write_path(folder, scene, path, fps)
        for line in path.summary():
            print(line)
    write_film(model, film, options, folder, name, fps)


def preview_size(size: tuple[int, int], n_frames: int, speed: float) -> tuple[int, int] | None:
    """Width and height of the preview: small, and so that it takes no long time; None if tiny.

    Args:
        size: of the film.
        speed: rays per second.
    """
    width, height = size
    rays = _PREVIEW_SECONDS * speed / n_frames
    factor = min(1.0, _PREVIEW_SIDE / max(width, height), (rays / (width * height)) ** 0.5)
    small = max(2, int(width * factor)), max(2, int(height * factor))
    return small if max(small) >= min(_PREVIEW_LEAST, max(width, height)) else None


def write_film(
    model: Model, film: Scene, options: EvalOptions, folder: Path, name: str, fps: float
) -> None:
    """Render the frames that are missing, and make MP4s and GIFs of them."""
    indices = film.splits["path"]
    cameras = film.cameras[indices]
    checkpoint = Path(options.ckpt_path).stat()
    identity = [str(Path(options.ckpt_path).resolve()), checkpoint.st_size, checkpoint.st_mtime_ns]
    job = [identity, cameras.to_dict(), to_dict(model.options.config), options.path]
    if film.crop is not None:
        job.append(film.crop.to_dict())
    store = FrameStore(folder, len(indices), job)
    missing = broadcast_from_rank0(store.begin() if is_main_process() else [])
    if len(missing) < len(indices):
        print(f"{folder}: {len(indices) - len(missing)} of {len(indices)} frames are there already")
    near, far = broadcast_from_rank0(
        film_depth_range(model.renderer, film, cameras, str(model.device))
        if missing and is_main_process()
        else (0.0, 1.0)
    )

    def write(number: int, view: View) -> None:
        if options.save_depth:
            write_depth(folder / f"depth_{number:03d}", view.depth, options.depth_format)
        store.write(number, view, near, far)

    # The path shows the scene as it is on average: none of its frames is a photo.
    model = replace(model, scene=film, exposure=None)
    seconds = render_all(model, {number: indices[number] for number in missing}, write)
    if not is_main_process():
        return
    if options.save_depth:
        write_depth_units(folder, film, options)
    limits = GifLimits(options.gif_width, round(options.gif_mb * 1e6))
    gif = write_films(folder, name, store, fps, limits)
    if missing:
        print(f"{seconds:.2f} s a frame")
    print(
        f"{folder / name}.mp4 and {folder / name}.gif ({gif.width}x{gif.height}, "
        f"{gif.bytes / 1e6:.1f} MB)"
    )


def compare(model: Model, options: EvalOptions, split: str, folder: Path, name: str) -> None:
    """Render the views of a split, and measure them against their photos."""
    scene = model.scene
    indices = scene.splits[split]
    if options.img_wh is not None and options.img_wh != tuple(scene.cameras.size[0].tolist()):
        scene = scene.resized(options.img_wh)
        model = replace(model, scene=scene)
    given = scene
    if model.poses_refined and split != "train":
        scene = fit_held_out(model, indices)
        model = replace(model, scene=scene)
    lpips = load_lpips(model.device) if options.lpips and is_main_process() else None
    views: dict[int, View] = {}

    def write(number: int, view: View) -> None:
        write_png(folder / f"{number:03d}.png", view.image)
        if options.save_depth:
            write_depth(folder / f"depth_{number:03d}", view.depth, options.depth_format)
        views[number] = replace(view, depth=view.depth.astype(np.float16))

    seconds = render_all(model, dict(enumerate(indices)), write)
    if not is_main_process():
        return
    for path in folder.glob("*.png"):
        if path.stem.isdecimal() and int(path.stem) >= len(indices):
            path.unlink()  # of an earlier evaluation of more views
    if options.save_depth:
        write_depth_units(folder, scene, options)
    rendered = [views[number] for number in range(len(indices))]
    report, photos = measure(model, split, rendered, name, lpips)
    if scene is not given:
        report["held_out_cameras_fitted"] = moves(given, scene, indices)
        print(fitted_line(report["held_out_cameras_fitted"]))
    report["seconds_per_frame"] = round(seconds, 4)
    report["ckpt_path"] = options.ckpt_path
    report["command"] = typed_command()
    mean = report["mean"]
    text = f"mean over {len(indices)} views: PSNR {mean['psnr']:.2f} dB, SSIM {mean['ssim']:.4f}"
    if "lpips" in mean:
        text += f", LPIPS {mean['lpips']:.4f}"
    write_album(folder, rendered, photos, report["views"], f"{name}, {split}: {text}")
    write_json(folder / "metrics.json", report)
    print(text)
    print(f"{seconds:.2f} s a view; {folder / SHEET}, {folder / 'metrics.json'}")


def render_all(model: Model, indices: dict[int, int], write: Any) -> float:
    """Render cameras of the scene, and have each written by the first process; seconds per view.

    The processes render a view each at a time.

    Args:
        indices: of the cameras, by the numbers that `write` gets.
        write: (number, view) -> None.
    """
    scene = model.scene
    cameras = scene.cameras.to(model.device)
    numbers = list(indices)
    seconds = 0.0
    silent = not is_main_process()
    with progress_bar(total=len(numbers), desc="rendering", unit="view", disable=silent) as bar:
        for start in range(0, len(numbers), world_size()):
            own = None
            if start + rank() < len(numbers):
                number = numbers[start + rank()]
                index = indices[number]
                view = render_view(*(model.renderer, model.exposure, scene, cameras, index))
                own = number, view
            together = [pair for pair in gather_to_main(own) if pair is not None]
            seconds += max((view.seconds for _, view in together), default=0.0)
            for number, view in together:
                write(number, view)
            bar.update(len(together))
    return seconds / max(1, len(numbers))


def measure(
    model: Model, split: str, views: list[View], name: str, lpips: Lpips | None
) -> tuple[dict[str, Any], Any]:
    """metrics.json of the views, by the protocol of the run; and their photos."""
    scene, options = model.scene, model.options
    photos = scene.photos(scene.splits[split])
    fitted = model.poses_refined and split != "train"
    protocol = Protocol(bool(options.encode_appearance), model.exposure is not None, fitted)
    rows = measure_split(scene, split, views, photos, protocol, lpips)
    report = describe(
        *(scene, split, name, views, rows, protocol),
        masked=photos.valid is not None,
        dataset_name=options.dataset_name,
        holdout=options.holdout,
    )
    if scene.crop is not None:
        report["protocol"] += "; rendered within a crop box, measured against whole photos"
    return report, photos


def write_depth_units(folder: Path, scene: Scene, options: EvalOptions) -> None:
    """depth.json: what the numbers of the depth files mean."""
    units = {"unit_in_input_units": scene.units, "background": 0, "format": options.depth_format}
    write_json(folder / "depth.json", units)


if __name__ == "__main__":
    run_command(main, should_report)
