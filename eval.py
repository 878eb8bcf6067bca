"""Render and measure a trained field: python eval.py --ckpt_path ckpts/exp/last.ckpt

Writes views, metrics.json, a GIF and an MP4 (of the views and of their depth) to
results/<dataset_name>/<scene_name>.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from datasets import load_scene
from datasets.cameras import Cameras
from datasets.paths import render_path
from datasets.rays import image_rays
from datasets.region import find_region
from datasets.scene import Scene, scene_name
from errors import UserError, run_command
from metrics import psnr, ssim
from models import build_fields, build_renderer, change_sampler, sampler_of
from models.appearance import Appearance, match_halves
from models.depth import surface_distance
from models.nearby_exposure import NearbyExposure
from models.parallel import prefer_parts
from models.rendering import ImageRenderer
from opt import EvalOptions, TrainOptions, from_plain, parse, resolve_device
from published import published_psnr
from training.checkpoints import Checkpoint, export_weights, read_checkpoint
from training.launch import launch
from training.pictures import to_8_bit
from training.processes import (
    first_prints,
    first_to_tell,
    gather_to_first,
    is_first,
    join,
    local_rank,
    local_world_size,
    rank,
    world_size,
)
from writing.depth import depth_range, depth_to_colour, depth_to_grey, write_depth
from writing.files import write_json, write_png
from writing.video import write_gif, write_mp4

PROTOCOL = "PSNR and SSIM of {images}, mean over views; SSIM: 11x11 Gaussian window, sigma 1.5"
SAVED = "the saved 8-bit images"
EXPOSED = "exposed as the training photos nearby lead to expect"
RIGHT_HALVES = (
    "8-bit right halves, exposed (a gain and an offset per channel) as fitted on the photo's left "
    "half (NeRF in the Wild; the saved images show the mean appearance)"
)


@dataclass(frozen=True)
class View:
    """A rendered view, and the seconds that it took.

    Depth is in scene units, 0 for background; opacity as in Picture.
    """

    image: np.ndarray
    depth: np.ndarray
    opacity: np.ndarray
    seconds: float


def main() -> None:
    first_prints()
    options = parse(EvalOptions)
    checkpoint = read_checkpoint(Path(options.ckpt_path))
    if options.export_weights:
        if checkpoint.scene is None:
            raise UserError("--export_weights takes a checkpoint of train.py")
        if is_first():
            export_weights(checkpoint, Path(options.export_weights))
        print(options.export_weights)
        return
    device = choose_device(options)
    launch(options.num_gpus)
    join()
    trained = training_options(options, checkpoint)
    scene, split = choose_views(options, trained, checkpoint)
    renderer = load_renderer(checkpoint, trained, scene, device)
    exposure = None if split == "path" else load_exposure(checkpoint, trained)

    name = options.scene_name or scene.name
    folder = Path(options.out_dir or Path("results") / trained.dataset_name / name)
    views, seconds = render_views(renderer, exposure, scene, split, folder, options, device)
    if not is_first():
        return
    write_videos(folder, name, views, options.fps)
    if scene.has_photos(split):
        report = measure(scene, split, views, trained, name, exposure is not None)
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
    if device.type == "cuda" and count > torch.cuda.device_count():
        raise UserError(f"--num_gpus {count}: this machine has {torch.cuda.device_count()}")
    if device.type != "cuda" and count > 1 and options.accelerator != "cpu":
        raise UserError(f"--num_gpus {count}: this machine has no such GPUs; or --accelerator cpu")
    return torch.device("cuda", local_rank()) if device.type == "cuda" else device


def training_options(options: EvalOptions, checkpoint: Checkpoint) -> TrainOptions:
    """The options of the training, under those of the command line."""
    values = dict(checkpoint.options)
    for name in (
        "root_dir",
        "dataset_name",
        "img_wh",
        "spheric_poses",
        "N_samples",
        "N_importance",
        "use_disp",
        "sampler",
        "chunk",
    ):
        if getattr(options, name) is not None:
            values[name] = getattr(options, name)
    return from_plain(TrainOptions, values)


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
        scene = replace(scene, region=find_region(scene))
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


def load_renderer(
    checkpoint: Checkpoint, trained: TrainOptions, scene: Scene, device: torch.device
) -> ImageRenderer:
    """The fields of the checkpoint, ready to render."""
    prefer_parts(device, trained.model == "voxels")
    sampler = from_plain(TrainOptions, checkpoint.options).sampler
    fields: dict[str, Any] = dict(build_fields(replace(trained, sampler=sampler), scene))
    for name, field in fields.items():
        try:
            field.load_state_dict(checkpoint.part(name))
        except RuntimeError as error:
            raise UserError(f"the checkpoint has no {name} that fits its options") from error
        field.to(device).eval()
    if sampler_of(trained) != sampler_of(replace(trained, sampler=sampler)):
        fields = change_sampler(fields, trained, scene, device)
    renderer = build_renderer(fields, trained, scene)
    return ImageRenderer(renderer, renderer.rays_at_once(trained.chunk))


def load_exposure(checkpoint: Checkpoint, trained: TrainOptions) -> NearbyExposure | None:
    """What tells the exposure of views, where the training photos had their own unasked."""
    state = checkpoint.part("appearance")
    if not state or checkpoint.scene is None or trained.encode_appearance:
        return None
    train = checkpoint.scene.splits["train"]
    appearance = Appearance(len(train))
    try:
        appearance.load_state_dict(state)
    except RuntimeError as error:
        raise UserError("the checkpoint's exposures are not those of its photos") from error
    return NearbyExposure(checkpoint.scene.cameras[train], appearance)


def render_views(
    render: ImageRenderer,
    exposure: NearbyExposure | None,
    scene: Scene,
    split: str,
    folder: Path,
    options: EvalOptions,
    device: torch.device,
) -> tuple[list[View], float]:
    """Render and write each view of the split; returns the views, and seconds per view.

    The processes render a view each at a time; the first one writes them all, and has them all.
    """
    cameras = scene.cameras.to(device)
    indices = scene.splits[split]
    views: list[View] = []
    seconds = 0.0
    with tqdm(total=len(indices), desc="rendering", unit="view", disable=not is_first()) as bar:
        for start in range(0, len(indices), world_size()):
            number = start + rank()
            view = None
            if number < len(indices):
                view = render_view(render, exposure, scene, cameras, indices[number])
            together = [view for view in gather_to_first(view) if view is not None]
            seconds += max((view.seconds for view in together), default=0.0)
            for view in together:
                write_png(folder / f"{len(views):03d}.png", view.image)
                if options.save_depth:
                    path = folder / f"depth_{len(views):03d}"
                    write_depth(path, view.depth, options.depth_format)
                views.append(replace(view, depth=view.depth.astype(np.float16)))
            bar.update(len(together))
    if options.save_depth and is_first():
        units = {
            "unit_in_input_units": scene.units,
            "background": 0,
            "format": options.depth_format,
        }
        write_json(folder / "depth.json", units)
    return views, seconds / len(indices)


def render_view(
    render: ImageRenderer,
    exposure: NearbyExposure | None,
    scene: Scene,
    cameras: Cameras,
    index: int,
) -> View:
    """Render camera `index` of the scene; cameras: the scene's, on the device."""
    start = time.perf_counter()
    picture = render(image_rays(cameras, scene.bounds, index))
    if exposure is not None:
        picture = exposure(picture, scene.cameras.c2w[index], scene.background)
    width, height = scene.cameras.size[index].tolist()
    image = to_8_bit(picture.rgb, (width, height))
    depth = surface_distance(picture, cameras, scene.bounds, index).cpu().numpy()
    opacity = picture.opacity.cpu().numpy().reshape(depth.shape).astype(np.float16)
    return View(image, depth, opacity, time.perf_counter() - start)


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


def right_half(
    view: View, photo: np.ndarray, valid: np.ndarray | None, background: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """The view, exposed as its photo is, the photo, and its mask: the right half of each."""
    mask = None if valid is None else torch.from_numpy(valid)
    image, seen = (torch.from_numpy(x).float() / 255 for x in (view.image, photo))
    opacity = torch.from_numpy(view.opacity).float()
    matched, _, mask = match_halves(image, seen, opacity, background, mask)
    height, width = matched.shape[:2]
    return (
        to_8_bit(matched.flatten(0, 1), (width, height)),
        photo[:, -width:],
        None if mask is None else mask.numpy(),
    )


def _same_size(images: list[np.ndarray]) -> list[np.ndarray]:
    """Photos of several sizes, cut to what they share: a video has one size."""
    height, width = np.min([image.shape[:2] for image in images], axis=0)
    return [np.ascontiguousarray(image[:height, :width]) for image in images]


def measure(
    scene: Scene,
    split: str,
    views: list[View],
    trained: TrainOptions,
    name: str,
    exposed: bool = False,
) -> dict[str, Any]:
    """Compare the views with their photos; exposed: as those nearby are."""
    photos = scene.photos(scene.splits[split])
    rows = []
    for number, (index, view) in enumerate(zip(scene.splits[split], views, strict=True)):
        photo, mask = photos.image(number).numpy(), photos.mask(number)
        valid = None if mask is None else mask.numpy()
        frame = scene.frames[index]
        image = view.image
        if trained.encode_appearance:
            image, photo, valid = right_half(view, photo, valid, scene.background)
        rows.append(
            {
                "name": frame.name if frame else str(number),
                "psnr": round(psnr(image, photo, valid), 4),
                "ssim": round(ssim(image, photo, valid), 5),
            }
        )
    sizes = {view.image.shape[1::-1] for view in views}
    protocol = f"{split} split of {name}, {len(views)} views of " + ", ".join(
        f"{w}x{h}" for w, h in sorted(sizes)
    )
    images = f"{SAVED}, {EXPOSED}" if exposed else SAVED
    if trained.encode_appearance:
        images = RIGHT_HALVES
    protocol += f", background {scene.background:g}; {PROTOCOL.format(images=images)}"
    if photos.valid is not None:
        protocol += "; pixels under the masks are left out"
    report: dict[str, Any] = {
        "mean": {
            "psnr": round(float(np.mean([row["psnr"] for row in rows])), 4),
            "ssim": round(float(np.mean([row["ssim"] for row in rows])), 5),
        },
        "views": rows,
        "protocol": protocol,
    }
    published = published_psnr(
        trained.dataset_name, name, split, min(sizes), len(views), trained.holdout
    )
    if published is not None and not trained.encode_appearance:  # another protocol
        if exposed:
            published["differs"].append(EXPOSED)
        report["published"] = published
    return report


if __name__ == "__main__":
    run_command(main, first_to_tell)
