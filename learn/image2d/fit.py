"""One fit, from a photo to its folder of results."""

from __future__ import annotations

import hashlib
import logging
import platform
import warnings
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import TensorBoardLogger

from cli import check_values, to_dict
from datasets.files.layout import check_layout
from errors import UserError
from learn.figures.curves import Curve, draw_curves, smooth
from learn.figures.strip import draw_strip
from learn.image2d.networks import image_models, paint
from learn.image2d.options import FitOptions
from learn.image2d.photo import read_image
from learn.image2d.recorder import Recorder
from learn.image2d.system import LOG_EVERY, ImageSystem
from training.distributed.devices import resolve_device
from writing.files import replacing, write_json, write_png
from writing.video import write_gif

PROTOCOL = "PSNR of all pixels of the 8-bit painting against the photo that was learnt"
# What makes two fits the same; the rest says where results go and what is drawn of them.
DECISIVE = ("model", "L", "num_layers", "width", "batch_size", "lr", "iterations", "seed")
# More are believed of no file.
_MOST_PIXELS = 200_000_000


def results_folder(options: FitOptions) -> Path:
    return Path(options.out_dir or f"results/image/{Path(options.image).stem}")


def identity(options: FitOptions) -> dict[str, Any]:
    """What decides a fit's result: options that count, and the photo's content."""
    digest = hashlib.sha256(Path(options.image).read_bytes()).hexdigest()[:16]
    values = to_dict(options)
    return {name: values[name] for name in (*DECISIVE, "max_size")} | {"photo": digest}


def fit(options: FitOptions) -> dict[str, Any]:
    """Learn the image and write everything that is shown of it; returns metrics.json."""
    image = read_image(Path(options.image), options.max_size)
    height, width = image.shape[:2]
    out = results_folder(options)
    device = resolve_device(options.accelerator)
    torch.manual_seed(options.seed)
    system = ImageSystem(options, image)
    recorder = Recorder(options.iterations, options.snapshots, options.gif_frames)
    print(f"{options.image}: {width} x {height} pixels, {options.model} on {device.type}")
    logger = TensorBoardLogger(out, name="logs", default_hp_metric=False)
    trainer = make_trainer(options.iterations, device.type, logger, [recorder])
    trainer.fit(system)

    final = recorder.snapshots[-1]
    curve = _curve(system)
    metrics: dict[str, Any] = {
        "psnr": round(final.psnr, 4),
        "protocol": PROTOCOL,
        "seconds": round(recorder.seconds, 2),
        "size": [width, height],
        "snapshots": [
            {"iteration": s.iteration, "psnr": round(s.psnr, 4)} for s in recorder.snapshots
        ],
        "curve": curve,
        "options": to_dict(options),
        "identity": identity(options),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "lightning": pl.__version__,
        },
        "device": torch.cuda.get_device_name() if device.type == "cuda" else device.type,
    }
    logger.log_hyperparams(
        {name: getattr(options, name) for name in DECISIVE},
        {"final/psnr": final.psnr, "final/seconds": recorder.seconds},
    )
    logger.finalize("success")
    _write_pictures(out, image.numpy(), recorder, curve, options)
    with replacing(out / "network.pt") as temporary:
        network = {"options": to_dict(options), "size": [width, height]}
        torch.save(network | {"weights": system.network.cpu().state_dict()}, temporary)
    if options.render_scale is not None:
        write_scaled(system.network, width, height, options.render_scale, out)
    write_json(out / "metrics.json", metrics)  # last: a folder that has it is whole
    print(f"PSNR {final.psnr:.2f} dB after {recorder.seconds:.1f} s; results in {out}/")
    return metrics


def make_trainer(
    iterations: int, device_type: str, logger: TensorBoardLogger | bool, callbacks: list
) -> pl.Trainer:
    """A Trainer for so many steps that writes no checkpoint and says nothing of itself."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    return pl.Trainer(
        max_steps=iterations,
        accelerator={"cuda": "gpu"}.get(device_type, device_type),
        devices=1,
        logger=logger,
        callbacks=callbacks,
        log_every_n_steps=LOG_EVERY,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def paint_again(options: FitOptions) -> None:
    """Paint from a network that an earlier fit has left, at --render_scale."""
    path = Path(options.ckpt_path or "")
    if not path.is_file():
        raise UserError(f"{path}: no such file; --ckpt_path names the network.pt of a fit")
    try:
        network, (width, height) = _read_network(path)
    except Exception as error:  # whatever unpickling strange bytes may raise
        raise UserError(f"{path}: not a network.pt that fit_image.py wrote") from error
    write_scaled(network, width, height, options.render_scale or 1.0, results_folder(options))


def _read_network(path: Path) -> tuple[torch.nn.Module, tuple[int, int]]:
    """The network in a file, and its photo's width and height. Raises anything where it is none."""
    saved = torch.load(path, weights_only=True, map_location="cpu")
    width, height = check_layout(saved["size"], [int], "size")
    values = {name: saved["options"][name] for name in ("image", *DECISIVE)}
    check_values(FitOptions, values)
    learnt, weights = FitOptions(**values), saved["weights"]
    if min(width, height) < 1 or width * height > _MOST_PIXELS or learnt.num_layers > len(weights):
        raise ValueError(f"{width} x {height} pixels, {learnt.num_layers} layers")
    if not all(weight.is_floating_point() for weight in weights.values()):
        raise ValueError("weights that are no real numbers")
    weights = {name: weight.float() for name, weight in weights.items()}
    with torch.device("meta"):  # no memory is taken before the shapes fit
        image_models[learnt.model](learnt, width, height).load_state_dict(weights, assign=True)
    network = image_models[learnt.model](learnt, width, height)
    network.load_state_dict(weights)
    return network, (width, height)


def write_scaled(
    network: torch.nn.Module, width: int, height: int, scale: float, out: Path
) -> None:
    """Paint at `scale` times the size that was learnt."""
    size = max(1, round(width * scale)), max(1, round(height * scale))
    path = out / f"scaled_{scale:g}.png"
    write_png(path, paint(network, *size).numpy())
    print(f"painted at {size[0]} x {size[1]} pixels: {path}")


def _curve(system: ImageSystem) -> dict[str, list[float]]:
    """Loss of a training batch over the iterations, thinned to 600 points at most."""
    losses = system.losses.cpu().double()
    every = -(-len(losses) // 600)
    kept = losses[: len(losses) // every * every].view(-1, every).mean(dim=1)
    steps = torch.arange(len(kept)) * every + (every + 1) / 2
    return {
        "iteration": steps.tolist(),
        "loss": kept.tolist(),
        "psnr": (-10 * torch.log10(kept.clamp_min(1e-10))).tolist(),
    }


def _write_pictures(
    out: Path, photo: Any, recorder: Recorder, curve: dict[str, list[float]], options: FitOptions
) -> None:
    shots = recorder.snapshots
    write_png(out / "photo.png", photo)
    write_png(out / "reconstruction.png", shots[-1].image)
    captions = [f"iteration {s.iteration}\n{s.psnr:.2f} dB" for s in shots]
    strip = [s.image for s in shots]
    draw_strip(out / "strip.png", [*strip, photo], [*captions, "photo\n"])
    steps = curve["iteration"]
    whole = Curve([s.iteration for s in shots[1:]], [s.psnr for s in shots[1:]], marked=True)
    for ending in (".png", ".svg"):
        draw_curves(
            out / f"curves{ending}",
            {
                "PSNR in dB": {
                    "batch": Curve(steps, curve["psnr"], faint=True),
                    "batch, smoothed": Curve(steps, smooth(curve["psnr"], 15)),
                    "whole image": whole,
                },
                "mean squared error": {
                    "batch": Curve(steps, curve["loss"], faint=True),
                    "batch, smoothed": Curve(steps, smooth(curve["loss"], 15)),
                },
            },
            log=("mean squared error",),
            title=_describe(options),
        )
    if recorder.frames:
        write_gif(out / "forming.gif", recorder.frames + [recorder.frames[-1]] * 8, fps=8)


def _describe(options: FitOptions) -> str:
    network = (
        f"{options.num_layers} layers of {options.width}, L = {options.L}"
        if options.model == "mlp"
        else "feature grid"
    )
    return f"{network}, {options.batch_size} pixels a step, learning rate {options.lr:g}"
