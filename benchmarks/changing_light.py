"""What --encode_appearance is worth where the light changes from photo to photo.

    python -m benchmarks.changing_light --root_dir data/demo --out_dir data/demo_light

Writes a copy of a Blender-format or transforms.json scene in which every photo, of training and
held out, has a random exposure and white balance; trains on it with and without the option, and
prints the PSNR of the held-out photos.
"""

from __future__ import annotations

import copy
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image

from api import load_model
from benchmarks.record import Recorder, RecordOptions, single
from cli import parse
from datasets import load_scene
from datasets.formats.transforms import View, read_transforms, read_views
from datasets.photos import read_photo
from errors import UserError, run_command
from evaluation.protocol import Protocol, mean_of, measure_split
from evaluation.views import render_view
from opt import TrainOptions, from_dict
from training.checkpoints import read_checkpoint
from training.distributed.devices import resolve_device
from writing.files import replacing, write_json

ROOT = Path(__file__).resolve().parents[1]
EXPOSURE, WHITE_BALANCE = (0.6, 1.4), 0.15
_FILES = ("transforms.json", *(f"transforms_{split}.json" for split in ("train", "val", "test")))


@dataclass(frozen=True)
class Options(RecordOptions):
    """Make a scene of changing light, and train on it with and without --encode_appearance."""

    root_dir: str
    """scene in Blender's or instant-ngp's format"""
    out_dir: str
    """folder of the copy; it must not exist, or be one that this program made"""
    steps: int = 2000
    """training steps of each run; 0 writes the copy and stops"""
    seed: int = 0
    """of the light, and of both trainings"""
    train_flags: str = ""
    """further flags of train.py, in one string: --train_flags="--img_wh 100 100 --lr 1e-3\""""


def main() -> None:
    options = parse(Options)
    recorder = Recorder(options.record)
    root, out = Path(options.root_dir), Path(options.out_dir)
    gains = relight(root, out, options.seed)
    print(f"{out}: {len(gains)} photos, gains {gains.min():.2f} to {gains.max():.2f}")
    if options.steps == 0:
        return
    values = []
    for name, wanted in (("plain", "false"), ("appearance", "true")):
        run_name = f"changing_light_{name}"
        one_file = (out / "transforms.json").exists()
        command = [sys.executable, str(ROOT / "train.py"), "--root_dir", str(out)]
        command += ["--dataset_name", "transforms" if one_file else "blender"]
        command += ["--exp_name", run_name, "--max_steps", str(options.steps)]
        command += ["--val_every_steps", str(options.steps), "--seed", str(options.seed)]
        command += ["--encode_appearance", wanted, *shlex.split(options.train_flags)]
        if subprocess.run(command, check=False).returncode:
            raise UserError(f"the training {run_name} failed; its own line above says why")
        whole, matched = held_out_psnr(run_name)
        print(
            f"{name:10}: held-out PSNR {matched:.2f} dB (exposure fitted on the left halves, right "
            f"halves measured), {whole:.2f} dB as rendered"
        )
        with_or_without = "with" if wanted == "true" else "without"
        for rule, figure in (("right halves, exposed as fits the left", matched), ("whole", whole)):
            label = f"{with_or_without} --encode_appearance, {rule}"
            values.append(single(label, figure, "dB", "quality", 2))
    recorder.write(
        f"{root.name}, a random exposure and white balance for each photo, {options.steps} steps",
        values,
        seeds=[options.seed],
    )


def relight(root: Path, out: Path, seed: int) -> Float[np.ndarray, "photo 3"]:
    """Copy the scene, each photo's RGB times its own gains; returns them, in the files' order.

    A gain is an exposure in EXPOSURE, uniform, times one of 1 +- WHITE_BALANCE per channel. It
    multiplies the stored 8-bit colours, which saturate at 255 as a sensor does; alpha stays, so
    that the background a scene is composited on has the same brightness in all photos.
    """
    if out.resolve() == root.resolve():
        raise UserError(f"{out}: --out_dir must not be the scene itself")
    marker = out / "changing_light.json"
    if out.exists() and not marker.is_file():
        raise UserError(f"{out}: exists already; name a new folder with --out_dir")
    found = [root / name for name in _FILES if (root / name).is_file()]
    if not found:
        raise UserError(f"{root}: has no transforms.json or transforms_train.json")
    rng = np.random.default_rng(seed)
    gains: dict[str, np.ndarray] = {}
    contents = {}
    write_json(marker, {"seed": seed})  # first: an interrupted copy may be made again
    for path in found:
        meta = read_transforms(path)
        content = copy.deepcopy(meta)
        for frame, view in zip(content["frames"], read_views(meta, path), strict=True):
            name = view.frame.name
            if name not in gains:  # a photo may stand in several splits
                balance = rng.uniform(1 - WHITE_BALANCE, 1 + WHITE_BALANCE, 3)
                gains[name] = rng.uniform(*EXPOSURE) * balance
                _write_photo(view, out / name, gains[name])
            frame["file_path"] = name
            if view.frame.mask_path is not None:
                frame["mask_path"] = f"light_masks/{name}{view.frame.mask_path.suffix}"
                target = out / frame["mask_path"]
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(view.frame.mask_path, target)
        contents[path.name] = content
    for file_name, content in contents.items():
        write_json(out / file_name, content)
    rows = np.stack(list(gains.values()))
    by_name = {name: row.tolist() for name, row in gains.items()}
    write_json(marker, {"seed": seed, "gains": by_name})
    return rows


def _write_photo(view: View, target: Path, gain: np.ndarray) -> None:
    source = view.frame.path
    assert source is not None
    with Image.open(source) as image:
        exif = image.getexif()
        stored = (image.width, image.height)
    # As stored, not turned, undistorted or resized: the loader does that to the copy.
    as_stored = replace(view.frame, size=stored, upright=False, lens=None)
    pixels = read_photo(as_stored).copy()
    lit = pixels[..., :3].astype(np.float64) * gain
    pixels[..., :3] = (lit + 0.5).clip(0, 255).astype(np.uint8)
    with replacing(target) as temporary:
        Image.fromarray(pixels).save(temporary, exif=exif, quality=95)


def held_out_psnr(run_name: str) -> tuple[float, float]:
    """PSNR in dB of a run over the test photos: whole, as rendered, and by --encode_appearance's
    rule.

    By both rules for both runs: a rule that fits the exposure helps the plain one too.
    """
    checkpoint = read_checkpoint(Path("ckpts") / run_name / "last.ckpt")
    assert checkpoint.scene is not None
    options = from_dict(TrainOptions, checkpoint.options)
    trained_in = checkpoint.scene
    scene = replace(load_scene(options), bounds=trained_in.bounds, region=trained_in.region)
    model = load_model(checkpoint, options, scene, resolve_device("auto"))
    cameras, test = scene.cameras.to(model.device), scene.splits["test"]
    views = [render_view(model.renderer, None, scene, cameras, index) for index in test]
    photos = scene.photos(test)
    whole, matched = (
        mean_of(measure_split(scene, "test", views, photos, Protocol(right_halves)))["psnr"]
        for right_halves in (False, True)
    )
    return whole, matched


if __name__ == "__main__":
    run_command(main)
