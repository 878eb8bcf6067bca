"""Train a neural radiance field: python train.py --dataset_name llff --root_dir ...

Writes checkpoints to ckpts/<exp_name> and TensorBoard's logs to logs/<exp_name>.
"""

from __future__ import annotations

import logging
import sys
import warnings
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule, seed_everything
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor

from cli import to_dict
from datasets import load_scene
from datasets.loaders.depth_rays import DepthRays, DepthSupervision
from datasets.loaders.ray_loader import RayBatch, RayLoader
from datasets.loaders.view_loader import ViewBatch, ViewLoader
from errors import UserError, run_command
from evaluation.pictures import compare_view, comparison, measure_rays, to_8_bit
from evaluation.protocol import Protocol
from geometry.rays import Rays
from losses import LossConfig, loss_terms
from models import find_model
from models.appearance.exposure import Appearance
from models.appearance.nearby import NearbyExposure
from models.parallel import use_device
from models.rendering.image import ImageRenderer
from models.rendering.output import RenderOutput
from models.rendering.renderer import LimitedRays, TrainingMode
from models.spec import SceneInfo, compile_fields
from opt import PRESETS, TrainOptions, from_dict, parse_training
from training.callbacks.clock import LOG_EVERY
from training.callbacks.record import log_folder
from training.checkpoints import FORMAT_VERSION, read_checkpoint
from training.distributed.devices import choose_devices, resolve_device
from training.distributed.launch import launch
from training.distributed.processes import (
    all_gather,
    should_report,
    silence_other_ranks,
    world_size,
)
from training.optim.optimizers import growing_optimizer, make_optimizer, make_scheduler
from training.resume import start_from
from training.trainer import make_run, steps_per_epoch
from training.validation import validate_whole

# Learning rate of photos' exposures, where --lr is not given.
_EXPOSURE_LR = 5e-4
# Training rays that a model's prepare hook is shown.
_PREPARE_RAYS = 1 << 16
# One depth-supervision ray pair per so many training rays.
_RAYS_PER_DEPTH_RAY = 16
# The validation at the end begins no further view after so many seconds, or this share of the
# training's.
_VALIDATE_SECONDS, _VALIDATE_SHARE = 60.0, 0.2


class NeRFSystem(LightningModule):
    """Fields, and how they are trained on a scene; training.system.RadianceSystem."""

    def __init__(self, **options: Any) -> None:
        """Args: the fields of opt.TrainOptions and of the model's own options, by name."""
        super().__init__()
        self.options: TrainOptions = from_dict(TrainOptions, options)
        self.save_hyperparameters(to_dict(self.options))
        self.spec, self.seed = find_model(self.options.model), self.options.seed
        self.validated_at = -1
        self.position = 0  # of the training rays' loader
        self.fields: dict[str, Any] = {}
        self.appearance: Appearance | None = None  # set up with the scene, which has the photos
        self.depth: DepthSupervision | None = None

    def decode_batch(self, batch: RayBatch | ViewBatch) -> tuple[Rays, Tensor]:
        """The rays of a batch, and the colours (ray, 3) that their pixels show."""
        return batch.rays, batch.rgbs

    def forward(self, rays: Rays) -> RenderOutput:
        """Render any number of rays, in chunks; the same each time."""
        return ImageRenderer(self.renderer, self.renderer.rays_per_chunk)(rays)

    def setup(self, stage: str) -> None:
        """Load the scene, and build the fields for it."""
        if self.fields:
            return
        options, spec = self.options, self.spec
        device = resolve_device(options.accelerator)
        use_device(device, spec.in_parts)
        self.scene = scene = load_scene(options)
        train = scene.splits["train"]
        self.train_photos = scene.photos(train, alpha=spec.random_background)
        assert scene.region is not None
        info = SceneInfo(scene.region, scene.background, scene.foreground_only)
        self.recipe = spec.make_recipe(options.config, info)
        self.fields = dict(spec.build_fields(options.config, info, self.recipe))
        for name, module in self.fields.items():
            setattr(self, name, module)  # under the names that checkpoints know
        if options.compile and spec.compiles:
            compile_fields(self.fields)
        pixels = RayLoader(self.train_photos, scene.cameras[train], scene.bounds, _PREPARE_RAYS)
        some = next(iter(pixels))
        spec.prepare(self.fields, info, some.rays, some.rgbs)
        self.renderer = spec.build_renderer(self.fields, options.config, info, self.recipe)
        if spec.depth_supervision:
            self.depth = DepthSupervision.of_scene(scene, self.train_photos)
        weight = getattr(self.recipe, "distortion", 0.0)
        self.losses = LossConfig(options.loss_type or spec.loss, distortion=weight)
        self.appearance = Appearance.of_scene(
            len(train), options.encode_appearance, spec.exposures and not scene.foreground_only
        )
        count = options.val_views or (2 if device.type == "cpu" else 8)
        views = scene.splits["val"]
        self.val_views = list(dict.fromkeys(views[i * len(views) // count] for i in range(count)))
        self.val_photos = scene.photos(self.val_views)

    def configure_optimizers(self) -> Any:
        groups: list[dict[str, Any]] = []
        if self.appearance is not None:
            groups = self.appearance.parameter_groups(self.options.lr or _EXPOSURE_LR)
        if self.spec.grows:
            return growing_optimizer(self.fields["nerf_coarse"], self.options, groups)
        of_fields = [p for n, p in self.named_parameters() if not n.startswith("appearance.")]
        fields = {"name": "fields", "params": of_fields}
        optimizer = make_optimizer([fields, *groups], self.options, self.spec.lr)
        steps = len(self.train_dataloader())
        total_steps = self.options.max_steps or self.options.num_epochs * steps
        scheduler = make_scheduler(optimizer, self.options, steps, total_steps)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def train_dataloader(self) -> RayLoader:
        self.train_rays = RayLoader(
            self.train_photos,
            self.scene.cameras[self.scene.splits["train"]],
            self.scene.bounds,
            self.options.batch_size or self.spec.batch_size,
            seed=self.seed,
            device=self.device,
            rank=self.trainer.global_rank,
            world_size=self.trainer.world_size,
            endless=self.spec.grows,
        )
        return self.train_rays

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

    def on_train_start(self) -> None:
        self.train_rays.position = self.position  # of a resumed run
        self.depth = self.depth and self.depth.to(self.device)

    def training_step(self, batch: RayBatch, batch_idx: int) -> dict[str, Any]:
        rays, rgbs = self.decode_batch(batch)
        # What is random in a step depends on the seed and the step alone: a resumed run goes on
        # exactly as it would have.
        generator = torch.Generator(self.device).manual_seed(
            (self.seed * 1_000_003 + self.global_step) * 1009 + self.global_rank
        )
        background, rgbs = self.random_background(batch.alpha, rgbs, generator)
        depth: DepthRays | None = None
        if self.depth is not None:
            depth = self.depth.draw(-(-len(rays) // _RAYS_PER_DEPTH_RAY), generator)
        mode = TrainingMode(
            generator,
            self.options.perturb,
            self.options.noise_std if self.spec.uses("noise_std") else 0.0,
            background,
            None if depth is None else LimitedRays(depth.rays, depth.limits),
        )
        outputs = self.renderer.render_train(rays, mode)
        field_rgb = list(outputs.values())[-1].rgb.detach()
        outputs = {
            name: replace(output, rgb=self.apply_exposure(output, rays.camera_indices, background))
            for name, output in outputs.items()
        }
        terms = loss_terms(
            outputs, rgbs, self.losses, None if depth is None else depth.target_opacity
        )
        loss = sum(list(terms.values())[1:], start=terms["photometric"])
        best = list(outputs.values())[-1]
        self.position = batch.end
        if self.global_step % LOG_EVERY == 0:  # of this process's rays alone
            error = (best.rgb.detach() - rgbs).square().mean()
            self.log("train/loss", loss)
            self.log_dict({f"train/loss_{name}": term for name, term in terms.items()})
            self.log("train/psnr", -10 * torch.log10(error))
            self.log("lr", self.optimizers().param_groups[0]["lr"])  # type: ignore[union-attr]
        return {
            "loss": batch.weight * loss,
            "rgb": best.rgb.detach(),
            "field_rgb": field_rgb,
            "target": rgbs,
            "n_samples": best.n_samples,
        }

    def random_background(
        self, alpha: Tensor | None, rgbs: Tensor, generator: torch.Generator
    ) -> tuple[Tensor | None, Tensor]:
        """A background of random colours, and the rays' colours before it.

        What is transparent must be so before each colour, and what is not must hide it: fog
        cannot stand in for a background. The paper's network is trained before the scene's own.
        """
        if not self.spec.random_background or (alpha is None and self.scene.foreground_only):
            return None, rgbs
        background = torch.rand(rgbs.shape, generator=generator, device=rgbs.device)
        if alpha is None:
            return background, rgbs
        return background, rgbs + (1 - alpha[:, None]) * (background - self.scene.background)

    def apply_exposure(
        self, output: RenderOutput, camera_indices: Tensor, background: Tensor | None = None
    ) -> Tensor:
        """The colours (ray, 3) as the training photo of each ray shows them."""
        if self.appearance is None:
            return output.rgb
        behind = self.scene.background if background is None else background
        return self.appearance(output.rgb, output.opacity, camera_indices, behind)

    def on_train_batch_end(self, *args: Any) -> None:
        if self.appearance is not None:
            groups = self.trainer.optimizers[0].param_groups
            self.appearance.decay(next(g["lr"] for g in groups if g.get("name") == "log_gain"))

    @property
    def exposure(self) -> NearbyExposure | None:
        """Of views without a photo, where the training photos have their own unasked."""
        if self.appearance is None or self.options.encode_appearance:
            return None
        return NearbyExposure(self.scene.cameras[self.scene.splits["train"]], self.appearance)

    def validation_step(self, batch: ViewBatch, batch_idx: int) -> None:
        number = batch_idx * self.trainer.world_size + self.trainer.global_rank
        if number >= len(self.val_views):
            return  # given only so that all processes have as many
        rays, rgbs = self.decode_batch(batch)
        output = self(rays)
        if self.exposure is not None:
            c2w = self.scene.cameras.c2w[self.val_views[number]]
            output = self.exposure(output, c2w, self.scene.background)
        right_half = bool(self.options.encode_appearance)
        measured = measure_rays(output, batch, right_half, self.scene.background)
        self.val_rows.append((number, *measured))
        if number == 0:
            image, photo = (to_8_bit(x, batch.size) for x in (output.rgb, rgbs))
            bounds = self.scene.bounds
            self.log_images(comparison(photo, image, output, bounds.near, bounds.far))

    def log_images(self, stack: Any) -> None:
        """Log ground truth, prediction and depth (3, height, width, 3) of a held-out view."""
        if isinstance(self.logger, TensorBoardLogger):
            self.logger.experiment.add_images(
                "val/GT_pred_depth", stack, self.global_step, dataformats="NHWC"
            )
            self.logger.experiment.flush()

    def on_validation_epoch_start(self) -> None:
        self.val_rows: list[tuple[int, float, float]] = []  # view, loss, PSNR

    def on_validation_epoch_end(self) -> None:
        """Log the means over the views of all processes: the same values in each of them."""
        self.validated_at = self.global_step
        rows = sorted(row for part in all_gather(self.val_rows) for row in part)
        _, losses, psnrs = zip(*rows, strict=True)
        self.log("val/loss", sum(losses) / len(losses))
        self.log("val/psnr", sum(psnrs) / len(psnrs))
        # As train/psnr is defined: of the mean over all pixels, not the mean over views.
        mean = torch.tensor(losses).mean()
        self.log("val/psnr_pixels", -10 * torch.log10(mean))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["format_version"] = FORMAT_VERSION
        checkpoint["recipe"] = asdict(self.recipe)
        checkpoint["scene"] = self.scene.to_dict()
        checkpoint["position"] = self.position

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.position = checkpoint["position"]


def main() -> None:
    silence_other_ranks()
    options = read_options()
    launch(choose_devices(options.accelerator, options.num_gpus)[1], options.num_nodes)
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
    options = parse_training(sys.argv[1:])
    if options.ckpt_path:
        kept = read_checkpoint(Path(options.ckpt_path)).settled_options()
        return parse_training(sys.argv[1:], from_dict(TrainOptions, kept))
    if options.preset:
        return parse_training(sys.argv[1:], from_dict(TrainOptions, PRESETS[options.preset]))
    return options


def train(options: TrainOptions) -> str | None:
    """Train as the options say; returns why it collapsed, None where it did not."""
    accelerator, devices = choose_devices(options.accelerator, options.num_gpus)
    seed_everything(options.seed, verbose=False)
    system = NeRFSystem(**to_dict(options))
    system.setup("fit")  # mistakes in the scene are told before anything is written
    resume_from = start_from(system, options.ckpt_path, options.prefixes_to_ignore)
    processes = max(world_size(), devices)
    _announce(system, processes, accelerator)
    run = make_run(
        *(options, system.spec, options.config, to_dict(options), system.train_photos),
        *(accelerator, devices, processes),
    )
    run.trainer.fit(system, ckpt_path=resume_from, weights_only=True)
    if run.keep_last.interrupted:
        print(f"go on with: python train.py --ckpt_path {run.keep_last.path}")
        sys.exit(130)
    if run.guard.reason is not None:
        return run.guard.reason
    if system.validated_at != system.global_step:
        run.trainer.validate(system, verbose=False)
    exposed = system.exposure is not None
    protocol = Protocol(bool(options.encode_appearance), exposed)
    seconds = max(_VALIDATE_SECONDS, _VALIDATE_SHARE * run.clock.seconds)
    result = validate_whole(system, system.exposure, protocol, seconds)
    run.record.add(
        {"validation": {"psnr": result.psnr, "ssim": result.ssim, "views": result.views}}
    )
    folder = log_folder(run.trainer)
    if result.first is not None and folder is not None:
        photo = system.scene.photos([system.scene.splits["val"][0]]).image(0).numpy()
        stack = compare_view(result.first.image, result.first.depth, photo)
        system.log_images(stack)
    if options.snapshots and folder is not None:
        from learn.figures.snapshots import draw_snapshots  # matplotlib takes a second

        draw_snapshots(folder)
    print(
        f"{system.global_step} steps in {run.clock.seconds:.0f} s, {result}; "
        f"next: python eval.py --ckpt_path {run.keep_last.path}"
    )
    return None


def _announce(system: NeRFSystem, processes: int, accelerator: str) -> None:
    """Say what is trained on what."""
    options, scene = system.options, system.scene
    if system.depth is not None:
        count = len(system.depth.observations)
        print(f"{scene.name}: {count} observations of sparse points supervise depth")
    steps = steps_per_epoch(options, system.spec, system.train_photos, processes)
    print(
        f"{scene.name}: {len(scene.splits['train'])} photos to train on, {steps} steps an epoch, "
        f"on {processes} {accelerator.upper()}"
    )
    width, height = scene.cameras.size[scene.splits["train"]].amax(dim=0).tolist()
    if max(width, height) > 2000:
        print(f"large photos: --img_wh {width // 4} {height // 4} would take a sixteenth of memory")


if __name__ == "__main__":
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    run_command(main, should_report)
