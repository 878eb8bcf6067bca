"""Train a neural radiance field: python train.py --dataset_name llff --root_dir ...

Writes checkpoints to ckpts/<exp_name> and TensorBoard's logs to logs/<exp_name>.
"""

from __future__ import annotations

import logging
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

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
from models import build_appearance, build_fields, build_renderer, sampler_of, sparse_depth
from models.appearance import Appearance
from models.compositing import Picture, TrainingPicture
from models.nearby_exposure import NearbyExposure
from models.nerf import NeRF
from models.parallel import prefer_parts, prefer_tensor_cores
from models.rendering import ImageRenderer
from models.voxels.field import VoxelField
from models.voxels.renderer import VoxelRenderer
from models.voxels.surroundings import surroundings
from opt import TrainOptions, from_plain, parse, plain, resolve_device
from training.checkpoints import read_checkpoint
from training.clock import LOG_EVERY, TrainingClock
from training.collapse import CollapseGuard
from training.growing import FollowOccupancy, Growing
from training.keep_last import KeepLast
from training.launch import launch
from training.optim import DEFAULT_LR, growing_optimizer, make_optimizer, make_scheduler
from training.pictures import comparison, measure_view, to_8_bit
from training.presets import PRESETS
from training.processes import (
    first_prints,
    first_to_tell,
    gather,
    local_world_size,
    world_size,
)
from training.progress import TrainingProgress
from training.record import RunRecord
from training.resume import start_from
from training.snapshots import Snapshots

DEFAULT_BATCH = {"nerf": 1024, "tensorf": 4096, "voxels": 1024}  # rays, where they are not chosen
DEFAULT_LOSS = {"nerf": "mse", "tensorf": "mse", "voxels": "huber"}
_SOME_RAYS = 1 << 16  # tell what a place looks like
_VALIDATE_EVERY = 1000  # steps of a field whose epochs have no fixed number of them


class NeRFSystem(LightningModule):
    """A coarse and a fine field, and how they are trained on a scene."""

    nerf_coarse: Any  # the only field of a model that has one

    def __init__(self, **options: Any) -> None:
        """Args: the fields of opt.TrainOptions, by name."""
        super().__init__()
        self.options = from_plain(TrainOptions, options)
        self.save_hyperparameters(plain(self.options))
        self.validated_at = -1
        self.position = 0  # of the training rays' loader
        self.loss = loss_dict[self.options.loss_type or DEFAULT_LOSS[self.options.model]]
        self.appearance: Appearance | None = None  # set up with the scene, which has the photos

    def decode_batch(self, batch: RayBatch | ViewBatch) -> tuple[Rays, Tensor]:
        """The rays of a batch, and the colours (ray, 3) that their pixels show."""
        return batch.rays, batch.rgbs

    def forward(self, rays: Rays) -> Picture:
        """Render any number of rays, in chunks; the same each time."""
        return ImageRenderer(self.renderer, self.renderer.rays_at_once(self.options.chunk))(rays)

    def as_photographed(
        self, picture: Picture, image: Tensor, background: Tensor | None = None
    ) -> Tensor:
        """The colours (ray, 3) as the training photo `image` of each ray shows them."""
        if self.appearance is None:
            return picture.rgb
        behind = self.scene.background if background is None else background
        return self.appearance(picture.rgb, picture.opacity, image, behind)

    def setup(self, stage: str) -> None:
        """Load the scene, and build the fields for it."""
        if hasattr(self, "scene"):
            return
        device = resolve_device(self.options.accelerator)
        prefer_parts(device, self.options.model == "voxels")
        prefer_tensor_cores(device)
        self.scene = load_scene(self.options)
        self.train_photos = self.scene.photos(self.scene.splits["train"], alpha=self.grows)
        fields = build_fields(self.options, self.scene)
        for name, field in fields.items():
            setattr(self, name, field)
            if self.options.compile and isinstance(field, NeRF):
                field.density = torch.compile(field.density)  # type: ignore[method-assign]
                field.color = torch.compile(field.color)  # type: ignore[method-assign]
        if isinstance(self.nerf_coarse, VoxelField):
            cameras = self.scene.cameras[self.scene.splits["train"]]
            rays = RayLoader(self.train_photos, cameras, self.scene.bounds, _SOME_RAYS)
            some = next(iter(rays))
            self.nerf_coarse.unseen.copy_(surroundings(some, self.nerf_coarse.region))
        depth = None
        if self.options.model == "voxels":
            depth = sparse_depth(self.scene, self.train_photos)
        if depth is not None:
            print(f"{self.scene.name}: {len(depth.sightings)} sightings of points tell its depth")
        self.renderer = build_renderer(fields, self.options, self.scene, depth)
        self.appearance = build_appearance(self.options, self.scene)
        count = self.options.val_views or (2 if device.type == "cpu" else 8)
        views = self.scene.splits["val"]
        self.val_views = [views[i * len(views) // count] for i in range(count)]
        self.val_views = list(dict.fromkeys(self.val_views))  # there may be fewer
        self.val_photos = self.scene.photos(self.val_views)

    @property
    def grows(self) -> bool:
        """Whether the field gets finer in training, with rates of its own."""
        return self.options.model != "nerf"

    def configure_optimizers(self) -> Any:
        groups: list[dict[str, Any]] = []
        if self.appearance is not None:
            groups = self.appearance.parameter_groups(self.options.lr or DEFAULT_LR)
        if self.grows:
            return growing_optimizer(cast(Any, self.nerf_coarse), self.options, groups)
        of_fields = [p for n, p in self.named_parameters() if not n.startswith("appearance.")]
        optimizer = make_optimizer([{"params": of_fields}, *groups], self.options)
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
            self.options.batch_size or DEFAULT_BATCH[self.options.model],
            seed=self.options.seed,
            device=self.device,
            rank=self.trainer.global_rank,
            world_size=self.trainer.world_size,
            endless=self.grows,
        )
        return self.train_rays

    def on_train_start(self) -> None:
        self.train_rays.position = self.position  # of a resumed run
        if isinstance(self.renderer, VoxelRenderer):
            self.renderer = self.renderer.to(self.device)

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
            rank=self.trainer.global_rank,
            world_size=self.trainer.world_size,
        )

    def training_step(self, batch: RayBatch, batch_idx: int) -> dict[str, Any]:
        rays, rgbs = self.decode_batch(batch)
        # What is random in a step depends on the seed and the step alone: a resumed run goes on
        # exactly as it would have.
        generator = torch.Generator(self.device).manual_seed(
            (self.options.seed * 1_000_003 + self.global_step) * 1009 + self.global_rank
        )
        background, rgbs = self.change_background(batch.alpha, rgbs, generator)
        noise_std = 0.0 if self.options.model == "tensorf" else self.options.noise_std
        renderings = self.renderer.train(
            *(rays, self.options.perturb, noise_std),
            *(generator, background),
        )
        field_rgb = list(renderings.values())[-1].rgb.detach()
        renderings = {
            name: replace(rendering, rgb=self.as_photographed(rendering, rays.image, background))
            for name, rendering in renderings.items()
        }
        loss = self.loss(renderings, rgbs)
        best = renderings[next(reversed(renderings))]
        samples = 0
        if isinstance(best, TrainingPicture):
            samples = best.samples
            loss = loss if best.penalty is None else loss + best.penalty
        rgb = best.rgb.detach()
        self.position = batch.end
        if self.global_step % LOG_EVERY == 0:  # of this process's rays alone
            self.log("train/loss", loss)
            self.log("train/psnr", -10 * torch.log10((rgb - rgbs).square().mean()))
            self.log("lr", self.optimizers().param_groups[0]["lr"])  # type: ignore[union-attr]
        return {
            "loss": batch.weight * loss,
            "rgb": rgb,
            "field_rgb": field_rgb,
            "target": rgbs,
            "samples": samples,
        }

    def change_background(
        self, alpha: Tensor | None, rgbs: Tensor, generator: torch.Generator
    ) -> tuple[Tensor | None, Tensor]:
        """A background of random colours, and the rays' colours before it.

        What is transparent must be so before each colour, and what is not must hide it: fog
        cannot stand in for a background. The paper's network is trained before the scene's own.
        """
        if not self.grows or (alpha is None and self.scene.cutout):
            return None, rgbs
        background = torch.rand(rgbs.shape, generator=generator, device=rgbs.device)
        if alpha is None:
            return background, rgbs
        return background, rgbs + (1 - alpha[:, None]) * (background - self.scene.background)

    def on_train_batch_end(self, *args: Any) -> None:
        if self.appearance is not None:
            groups = self.trainer.optimizers[0].param_groups
            gains = self.appearance.log_gain
            self.appearance.draw_in(next(g["lr"] for g in groups if g["params"][0] is gains))

    def validation_step(self, batch: ViewBatch, batch_idx: int) -> None:
        number = batch_idx * self.trainer.world_size + self.trainer.global_rank
        if number >= len(self.val_views):
            return  # given only so that all processes have as many
        rays, rgbs = self.decode_batch(batch)
        picture = self(rays)
        right_half = bool(self.options.encode_appearance)
        if self.appearance is not None and not right_half:
            cameras, train = self.scene.cameras, self.scene.splits["train"]
            c2w = cameras.c2w[self.val_views[number]]
            expose = NearbyExposure(cameras[train], self.appearance)
            picture = expose(picture, c2w, self.scene.background)
        measured = measure_view(picture, batch, right_half, self.scene.background)
        self.val_rows.append((number, *measured))
        if number == 0 and isinstance(self.logger, TensorBoardLogger):
            image, photo = (to_8_bit(x, batch.size) for x in (picture.rgb, rgbs))
            bounds = self.scene.bounds
            stack = comparison(photo, image, picture, bounds.near, bounds.far)
            self.logger.experiment.add_images(
                "val/GT_pred_depth", stack, self.global_step, dataformats="NHWC"
            )

    def on_validation_epoch_start(self) -> None:
        self.val_rows: list[tuple[int, float, float]] = []  # view, loss, PSNR

    def on_validation_epoch_end(self) -> None:
        """Log the means over the views of all processes: the same values in each of them."""
        self.validated_at = self.global_step
        rows = sorted(row for part in gather(self.val_rows) for row in part)
        _, losses, psnrs = zip(*rows, strict=True)
        self.log("val/loss", sum(losses) / len(losses))
        self.log("val/psnr", sum(psnrs) / len(psnrs))
        # As train/psnr is defined: of the mean over all pixels, not the mean over views.
        mean = torch.tensor(losses).mean()
        self.log("val/psnr_pixels", -10 * torch.log10(mean))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["scene"] = self.scene.plain()
        checkpoint["position"] = self.position

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.position = checkpoint["position"]


def main() -> None:
    first_prints()
    options = read_options()
    launch(choose_devices(options)[1], options.num_nodes)
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
    processes = max(world_size(), devices)
    batch_size = (options.batch_size or DEFAULT_BATCH[options.model]) * processes
    steps = RayLoader.batches(system.train_photos, batch_size)
    scene = system.scene
    print(
        f"{scene.name}: {len(scene.splits['train'])} photos to train on, {steps} steps an epoch, "
        f"on {processes} {accelerator.upper()}"
    )

    width, height = scene.cameras.size[scene.splits["train"]].amax(dim=0).tolist()
    if max(width, height) > 2000:
        print(f"large photos: --img_wh {width // 4} {height // 4} would take a sixteenth of memory")

    folder = Path("ckpts") / options.exp_name
    limited = options.max_steps is not None or options.max_time is not None
    max_rays = None
    if system.grows and not limited:
        max_rays = options.num_epochs * RayLoader.batches(system.train_photos, 1)
    adapt = options.batch_size is None and sampler_of(options) == "occupancy"
    clock = TrainingClock(options.max_time, options.max_steps, max_rays)
    guard = CollapseGuard()
    keep_last = KeepLast(folder / "last.ckpt")
    validate_every = options.val_every_steps
    if validate_every is None and system.grows:
        validate_every = min(_VALIDATE_EVERY, options.max_steps or _VALIDATE_EVERY)
    elif validate_every is None and options.max_steps and options.max_steps < steps:
        validate_every = options.max_steps
    checkpoints = ModelCheckpoint(
        dirpath=folder,
        filename="{epoch:d}-{step:d}" if options.val_every_steps else "{epoch:d}",
        monitor="val/loss",
        save_last=True,
        save_top_k=options.save_top_k,
        enable_version_counter=False,
    )
    strategy = "ddp" if options.strategy == "auto" else options.strategy
    trainer = Trainer(
        accelerator=accelerator,
        devices=devices,
        num_nodes=processes // devices,
        strategy=strategy if processes > 1 else "auto",
        precision=options.precision,
        max_epochs=-1 if limited or system.grows else options.num_epochs,
        max_steps=options.max_steps or -1,
        logger=TensorBoardLogger("logs", name=options.exp_name, default_hp_metric=False),
        callbacks=[
            clock,
            *([Growing(clock, adapt)] if system.grows else []),
            *([FollowOccupancy()] if hasattr(system, "occupancy") else []),
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
    # Where torchrun or SLURM started the processes, they have said how many.
    count = local_world_size() if world_size() > 1 else max(1, options.num_gpus)
    if device.type == "cpu" and count > 1 and options.accelerator != "cpu":
        raise UserError(f"--num_gpus {count}: this machine has no GPU")
    if device.type == "cuda" and count > torch.cuda.device_count():
        raise UserError(f"--num_gpus {count}: this machine has {torch.cuda.device_count()}")
    return ("gpu" if device.type == "cuda" else device.type), count


if __name__ == "__main__":
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    run_command(main, first_to_tell)
