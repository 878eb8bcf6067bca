"""Train a neural radiance field: python train.py --dataset_name llff --root_dir ...

Writes checkpoints to ckpts/<exp_name> and TensorBoard's logs to logs/<exp_name>.
"""

from __future__ import annotations

import logging
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer, seed_everything
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor

from datasets import load_scene
from datasets.loader import RayBatch, RayLoader
from datasets.rays import Rays
from datasets.view_loader import ViewBatch, ViewLoader
from errors import UserError, run_command
from losses import loss_dict
from metrics import psnr
from models import build_field
from models.appearance import Appearance, match_halves
from models.compositing import Rendering
from models.rendering import HierarchicalRenderer, ImageRenderer, Picture
from opt import TrainOptions, from_plain, parse, plain, resolve_device
from training.checkpoints import read_checkpoint
from training.clock import LOG_EVERY, TrainingClock
from training.collapse import CollapseGuard
from training.keep_last import KeepLast
from training.optim import make_optimizer, make_scheduler
from training.pictures import comparison, to_8_bit
from training.presets import PRESETS
from training.progress import TrainingProgress
from training.record import RunRecord
from training.snapshots import Snapshots


class NeRFSystem(LightningModule):
    """A coarse and a fine field, and how they are trained on a scene."""

    def __init__(self, **options: Any) -> None:
        """Args: the fields of opt.TrainOptions, by name."""
        super().__init__()
        self.options = from_plain(TrainOptions, options)
        self.save_hyperparameters(plain(self.options))
        self.validated_at = -1
        self.loss = loss_dict[self.options.loss_type]
        self.nerf_coarse = build_field(self.options)
        self.nerf_fine = build_field(self.options) if self.options.N_importance > 0 else None
        self.appearance: Appearance | None = None  # set up with the scene, which has the photos
        if self.options.compile:
            for field in (self.nerf_coarse, self.nerf_fine):
                if field is not None:
                    field.density = torch.compile(field.density)  # type: ignore[method-assign]
                    field.color = torch.compile(field.color)  # type: ignore[method-assign]

    def decode_batch(self, batch: RayBatch | ViewBatch) -> tuple[Rays, Tensor]:
        """The rays of a batch, and the colours (ray, 3) that their pixels show."""
        return batch.rays, batch.rgbs

    def forward(self, rays: Rays) -> Picture:
        """Render any number of rays, in chunks; the same each time."""
        return ImageRenderer(self.renderer, self.options.chunk // self.renderer.samples_per_ray)(
            rays
        )

    def as_photographed(self, rendering: Rendering | Picture, image: Tensor) -> Tensor:
        """The colours (ray, 3) as the training photo `image` of each ray shows them."""
        if self.appearance is None:
            return rendering.rgb
        return self.appearance(rendering.rgb, rendering.opacity, image, self.scene.background)

    @property
    def renderer(self) -> HierarchicalRenderer:
        return HierarchicalRenderer(
            self.nerf_coarse,
            self.nerf_fine,
            self.options.N_samples,
            self.options.N_importance,
            self.options.use_disp,
            self.scene.background,
        )

    def setup(self, stage: str) -> None:
        if hasattr(self, "scene"):
            return
        self.scene = load_scene(self.options)
        self.train_photos = self.scene.photos(self.scene.splits["train"])
        if self.options.encode_appearance:
            self.appearance = Appearance(len(self.train_photos))
        on_cpu = resolve_device(self.options.accelerator).type == "cpu"
        count = self.options.val_views or (2 if on_cpu else 8)
        views = self.scene.splits["val"]
        self.val_views = [views[i * len(views) // count] for i in range(count)]
        self.val_views = list(dict.fromkeys(self.val_views))  # there may be fewer
        self.val_photos = self.scene.photos(self.val_views)

    def configure_optimizers(self) -> Any:
        groups: list[dict[str, Any]] = [
            {"params": [p for n, p in self.named_parameters() if not n.startswith("appearance.")]}
        ]
        if self.appearance is not None:
            groups += self.appearance.parameter_groups(self.options.lr)
        optimizer = make_optimizer(groups, self.options)
        steps_per_epoch = len(self.train_dataloader())
        total_steps = self.options.max_steps or self.options.num_epochs * steps_per_epoch
        scheduler = make_scheduler(optimizer, self.options, steps_per_epoch, total_steps)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def train_dataloader(self) -> RayLoader:
        self.train_rays = RayLoader(
            self.train_photos,
            self.scene.cameras[self.scene.splits["train"]],
            self.scene.bounds,
            self.options.batch_size,
            seed=self.options.seed,
            device=self.device,
            rank=self.trainer.global_rank,
            world_size=self.trainer.world_size,
        )
        return self.train_rays

    def on_train_start(self) -> None:
        # Only now is the step of a resumed run known.
        self.train_rays.step = self.global_step

    def val_dataloader(self) -> ViewLoader:
        max_rays = self.options.val_rays
        if max_rays is None:
            max_rays = 4096 if self.device.type == "cpu" else 0
        return ViewLoader(
            self.val_photos,
            self.scene.cameras[self.val_views],
            self.scene.bounds,
            max_rays,
            self.device,
        )

    def training_step(self, batch: RayBatch, batch_idx: int) -> dict[str, Tensor]:
        rays, rgbs = self.decode_batch(batch)
        # What is random in a step depends on the seed and the step alone: a resumed run goes on
        # exactly as it would have.
        generator = torch.Generator(self.device).manual_seed(
            (self.options.seed * 1_000_003 + self.global_step) * 1009 + self.global_rank
        )
        renderings = self.renderer.train(
            rays, self.options.perturb, self.options.noise_std, generator
        )
        field_rgb = next(reversed(renderings.values())).rgb.detach()
        renderings = {
            name: replace(rendering, rgb=self.as_photographed(rendering, rays.image))
            for name, rendering in renderings.items()
        }
        loss = self.loss(renderings, rgbs)
        rgb = next(reversed(renderings.values())).rgb.detach()
        self.log("train/loss", loss)
        self.log("train/psnr", -10 * torch.log10((rgb - rgbs).square().mean()))
        self.log("lr", self.optimizers().param_groups[0]["lr"])  # type: ignore[union-attr]
        return {"loss": loss, "rgb": rgb, "field_rgb": field_rgb}

    def validation_step(self, batch: ViewBatch, batch_idx: int) -> None:
        rays, rgbs = self.decode_batch(batch)
        picture = self(rays)
        image, photo = (to_8_bit(x, batch.size) for x in (picture.rgb, rgbs))
        if self.appearance is None:
            self.val_losses.append(float((picture.rgb - rgbs).square().mean()))
            self.val_psnrs.append(psnr(image, photo))
        else:
            self._measure_right_half(picture, batch)
        if batch_idx == 0 and isinstance(self.logger, TensorBoardLogger):
            bounds = self.scene.bounds
            stack = comparison(photo, image, picture, bounds.near, bounds.far)
            self.logger.experiment.add_images(
                "val/GT_pred_depth", stack, self.global_step, dataformats="NHWC"
            )

    def _measure_right_half(self, picture: Picture, batch: ViewBatch) -> None:
        """What eval.py measures of a run with --encode_appearance."""
        width, height = batch.size
        rgb, photo, opacity = (
            x.unflatten(0, (height, width)) for x in (picture.rgb, batch.rgbs, picture.opacity)
        )
        valid = None if batch.valid is None else batch.valid.unflatten(0, (height, width))
        rgb, photo, valid = match_halves(rgb, photo, opacity, self.scene.background, valid)
        error = (rgb - photo).square()
        self.val_losses.append(float(error.mean() if valid is None else error[valid].mean()))
        size = (rgb.shape[1], height)
        image, seen = (to_8_bit(x.flatten(0, 1), size) for x in (rgb, photo))
        mask = None if valid is None else valid.cpu().numpy()
        self.val_psnrs.append(psnr(image, seen, mask))

    def on_validation_epoch_start(self) -> None:
        self.val_losses: list[float] = []
        self.val_psnrs: list[float] = []

    def on_validation_epoch_end(self) -> None:
        """Log the means over the views."""
        self.validated_at = self.global_step
        self.log("val/loss", sum(self.val_losses) / len(self.val_losses), sync_dist=True)
        self.log("val/psnr", sum(self.val_psnrs) / len(self.val_psnrs), sync_dist=True)
        # As train/psnr is defined: of the mean over all pixels, not the mean over views.
        mean = torch.tensor(self.val_losses).mean()
        self.log("val/psnr_pixels", -10 * torch.log10(mean), sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["scene"] = self.scene.plain()


def main() -> None:
    options = read_options()
    collapse = train(options)
    if collapse is None:
        return
    print(f"training collapsed: {collapse}")
    if not options.no_restart:
        options = replace(options, seed=options.seed + 1, ckpt_path=None)
        print(f"starting again with --seed {options.seed}")
        if train(options) is not None:
            raise UserError("training collapsed again; try a smaller --lr, or another --near")


def read_options() -> TrainOptions:
    """The command line's options, over those of the checkpoint or preset that it names."""
    options = parse(TrainOptions)
    if options.ckpt_path:
        kept = read_checkpoint(Path(options.ckpt_path)).options
        options = parse(TrainOptions, default=from_plain(TrainOptions, kept))
    elif options.preset:
        options = parse(TrainOptions, default=PRESETS[options.preset])
    return options


def train(options: TrainOptions) -> str | None:
    """Train as the options say; returns why it collapsed, None where it did not."""
    accelerator, devices = choose_devices(options)
    seed_everything(options.seed, verbose=False)
    system = NeRFSystem(**plain(options))
    system.setup("fit")  # mistakes in the scene are told before anything is written
    resume_from = start_from(system, options)
    steps = RayLoader.batches(system.train_photos, options.batch_size * devices)
    scene = system.scene
    print(
        f"{scene.name}: {len(scene.splits['train'])} photos to train on, {steps} steps an epoch, "
        f"on {devices} {accelerator.upper()}"
    )

    width, height = scene.cameras.size[scene.splits["train"]].amax(dim=0).tolist()
    if max(width, height) > 2000:
        print(f"large photos: --img_wh {width // 4} {height // 4} would take a sixteenth of memory")

    folder = Path("ckpts") / options.exp_name
    clock = TrainingClock(options.batch_size, options.max_time)
    guard = CollapseGuard()
    keep_last = KeepLast(folder / "last.ckpt")
    validate_every = options.val_every_steps
    if validate_every is None and options.max_steps and options.max_steps < steps:
        validate_every = options.max_steps
    checkpoints = ModelCheckpoint(
        dirpath=folder,
        filename="{epoch:d}-{step:d}" if options.val_every_steps else "{epoch:d}",
        monitor="val/loss",
        save_last=True,
        save_top_k=options.save_top_k,
        enable_version_counter=False,
    )
    limited = options.max_steps is not None or options.max_time is not None
    trainer = Trainer(
        accelerator=accelerator,
        devices=devices,
        strategy="ddp" if devices > 1 else "auto",
        precision=options.precision,
        max_epochs=-1 if limited else options.num_epochs,
        max_steps=options.max_steps or -1,
        logger=TensorBoardLogger("logs", name=options.exp_name, default_hp_metric=False),
        callbacks=[
            clock,
            guard,
            TrainingProgress(clock),
            checkpoints,
            keep_last,
            RunRecord(options, clock, keep_last),
            *([Snapshots(options.snapshots, clock, keep_last)] if options.snapshots else []),
        ],
        val_check_interval=validate_every,
        check_val_every_n_epoch=None if validate_every else 1,
        num_sanity_val_steps=1,  # draws the picture of step 0
        log_every_n_steps=LOG_EVERY,
        enable_model_summary=False,
        benchmark=True,
    )
    trainer.fit(system, ckpt_path=resume_from, weights_only=True)
    if keep_last.interrupted:
        print(f"go on with: python train.py --ckpt_path {keep_last.path}")
        sys.exit(130)
    if guard.reason is None:
        if system.validated_at != system.global_step:
            trainer.validate(system, verbose=False)
        print(
            f"{system.global_step} steps in {clock.seconds:.0f} s, val PSNR "
            f"{float(trainer.callback_metrics['val/psnr']):.2f} dB; "
            f"next: python eval.py --ckpt_path {keep_last.path}"
        )
    return guard.reason


def choose_devices(options: TrainOptions) -> tuple[str, int]:
    """Lightning's names for --accelerator and --num_gpus. Raises UserError for absent GPUs."""
    device = resolve_device(options.accelerator)
    count = max(1, options.num_gpus)
    if device.type == "cpu" and count > 1 and options.accelerator != "cpu":
        raise UserError(f"--num_gpus {count}: this machine has no GPU")
    if device.type == "cuda" and count > torch.cuda.device_count():
        raise UserError(f"--num_gpus {count}: this machine has {torch.cuda.device_count()}")
    return ("gpu" if device.type == "cuda" else device.type), count


def start_from(system: NeRFSystem, options: TrainOptions) -> str | None:
    """Load the weights of --ckpt_path; returns the path if the run in it is to be resumed."""
    if not options.ckpt_path:
        return None
    path = Path(options.ckpt_path)
    checkpoint = read_checkpoint(path)
    weights = checkpoint.weights(options.prefixes_to_ignore)
    own = system.state_dict()
    for name, value in weights.items():
        if name not in own or own[name].shape != value.shape:
            raise UserError(
                f"{path}: {name} {tuple(value.shape)} does not fit the network that the options "
                "describe; leave out the options that differ, or see --prefixes_to_ignore"
            )
    if checkpoint.resumable and len(weights) == len(own):
        return str(path)
    system.load_state_dict(weights, strict=False)
    print(f"{path}: {len(weights)} of {len(own)} weights loaded; training starts at step 0")
    return None


if __name__ == "__main__":
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    run_command(main)
