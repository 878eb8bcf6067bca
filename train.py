"""Train a neural radiance field: python train.py --dataset_name llff --root_dir ...

Writes checkpoints to ckpts/<exp_name> and TensorBoard's logs to logs/<exp_name>.
"""

from __future__ import annotations

if __name__ == "__main__":
    import interrupts  # noqa: F401 (before the imports that take time)

import logging
import sys
import warnings
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, seed_everything
from torch import Tensor

from cli import to_dict
from datasets import load_scene
from datasets.loaders.depth_rays import DepthRays, DepthSupervision
from datasets.loaders.ray_loader import RayBatch, RayLoader
from datasets.loaders.view_loader import ViewBatch, ViewLoader
from errors import UserError, run_command
from geometry.cameras import Cameras
from geometry.rays import Rays
from losses import LossConfig, loss_terms, total_loss
from models import find_model
from models.appearance.exposure import Appearance
from models.appearance.nearby import NearbyExposure
from models.parallel import use_device
from models.refinement.cameras import CameraRefinement
from models.rendering.image import ImageRenderer
from models.rendering.output import RenderOutput
from models.rendering.renderer import LimitedRays, TrainingMode
from models.spec import SceneInfo, compile_fields
from opt import PRESETS, TrainOptions, from_checkpoint, from_dict, parse_training
from training.callbacks.clock import LOG_EVERY, TrainingClock
from training.callbacks.record import log_folder
from training.checkpoints import FORMAT_VERSION, read_checkpoint
from training.distributed.devices import choose_devices, resolve_device
from training.distributed.launch import launch
from training.distributed.processes import should_report, silence_other_ranks, world_size
from training.finish import announce, finish, go_on_with, going_on
from training.optim.optimizers import check_state, growing_optimizer, make_optimizer, make_scheduler
from training.randomness import random_background, step_generator
from training.resume import reached_limit, start_from
from training.trainer import make_run
from training.validation import Validation, log_images
from writing.files import check_writable

# Learning rate of photos' exposures, where --lr is not given.
_EXPOSURE_LR = 5e-4
# Training rays that a model's prepare hook is shown.
_PREPARE_RAYS = 1 << 16
# One depth-supervision ray pair per so many training rays.
_RAYS_PER_DEPTH_RAY = 16


class NeRFSystem(LightningModule):
    """Fields, and how they are trained on a scene; training.system.RadianceSystem."""

    def __init__(self, **options: Any) -> None:
        """Args: the fields of opt.TrainOptions and of the model's own options, by name."""
        super().__init__()
        self.options: TrainOptions = from_dict(TrainOptions, options)
        self.save_hyperparameters(to_dict(self.options))
        self.spec, self.seed = find_model(self.options.model), self.options.seed
        self.position = 0  # of the training rays' loader
        self.fields: dict[str, Any] = {}
        self.refinement: CameraRefinement | None = None

    def decode_batch(self, batch: RayBatch | ViewBatch) -> tuple[Rays, Tensor]:
        """The rays of a batch, and the colours (ray, 3) that their pixels show."""
        refinement = self.refinement
        if refinement is not None and refinement.active and isinstance(batch, RayBatch):
            cameras = refinement(self.train_cameras.to(self.device))
            return batch.seen_by(cameras, self.scene.bounds), batch.rgbs
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
        self.validation = Validation(
            scene,
            options.val_views or (2 if device.type == "cpu" else 8),
            bool(options.encode_appearance),
        )
        self.depth = None
        if spec.depth_supervision:
            self.depth = DepthSupervision.of_scene(scene, self.train_photos)
        self.appearance = Appearance.of_scene(
            len(train), options.encode_appearance, spec.exposures and not scene.foreground_only
        )
        if options.refine_poses:
            assert scene.region is not None
            self.refinement = CameraRefinement.of_scene(
                self.train_cameras, scene.bounds, scene.region
            )
        self.build_fields()

    def build_fields(self) -> None:
        """The model's fields, their renderer and their losses."""
        options, spec, scene = self.options, self.spec, self.scene
        assert scene.region is not None
        info = SceneInfo(scene.region, scene.background, scene.foreground_only)
        self.recipe = spec.make_recipe(options.config, info)
        self.fields = spec.build_fields(options.config, info, self.recipe)
        for name, module in self.fields.items():
            setattr(self, name, module)  # under the names that checkpoints know
        if options.compile and spec.compiles:
            compile_fields(self.fields)
        some = next(iter(self.ray_loader(_PREPARE_RAYS)))
        spec.prepare(self.fields, info, some.rays, some.rgbs)
        self.renderer = spec.build_renderer(self.fields, options.config, info, self.recipe)
        weight = getattr(self.recipe, "distortion", 0.0)
        self.losses = LossConfig(options.loss_type or spec.loss, distortion=weight)

    def configure_optimizers(self) -> Any:
        groups: list[dict[str, Any]] = []
        if self.appearance is not None:
            groups = self.appearance.parameter_groups(self.options.lr or _EXPOSURE_LR)
        if self.refinement is not None:
            groups += self.refinement.parameter_groups()
        if self.spec.grows:
            return growing_optimizer(self.fields["nerf_coarse"], self.options, groups)
        of_photos = ("appearance.", "refinement.")
        of_fields = [p for n, p in self.named_parameters() if not n.startswith(of_photos)]
        fields = {"name": "fields", "params": of_fields}
        optimizer = make_optimizer([fields, *groups], self.options, self.spec.lr)
        steps = len(self.train_dataloader())
        total_steps = self.options.max_steps or self.options.num_epochs * steps
        scheduler = make_scheduler(optimizer, self.options, steps, total_steps)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def ray_loader(self, batch_size: int, **more: Any) -> RayLoader:
        """Rays of random training pixels."""
        bounds = self.scene.bounds
        return RayLoader(self.train_photos, self.train_cameras, bounds, batch_size, **more)

    @property
    def train_cameras(self) -> Cameras:
        """Of the training photos, as they were given."""
        return self.scene.cameras[self.scene.splits["train"]]

    def train_dataloader(self) -> RayLoader:
        self.train_rays = self.ray_loader(
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
        self.val_rays = self.validation.loader(
            max_rays, self.device, self.trainer.global_rank, self.trainer.world_size
        )
        return self.val_rays

    def on_train_start(self) -> None:
        self.train_rays.position = self.position  # of a resumed run
        self.depth = self.depth and self.depth.to(self.device)
        for optimizer in self.trainer.optimizers:
            check_state(optimizer)

    def training_step(self, batch: RayBatch, batch_idx: int) -> dict[str, Any]:
        rays, rgbs = self.decode_batch(batch)
        generator = step_generator(self.seed, self.global_step, self.global_rank, self.device)
        background = None
        if random_background(self.spec, self.scene, batch):
            background = torch.rand(rgbs.shape, generator=generator, device=rgbs.device)
            rgbs = batch.over(background, instead_of=self.scene.background)
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
        target_opacity = None if depth is None else depth.target_opacity
        terms = loss_terms(outputs, rgbs, self.losses, target_opacity)
        loss = total_loss(terms)
        best = list(outputs.values())[-1]
        rgb = best.rgb.detach()
        self.position = batch.end
        if self.global_step % LOG_EVERY == 0:  # of this process's rays alone
            self.log("train/loss", loss)
            self.log_dict({f"train/loss_{name}": term for name, term in terms.items()})
            self.log("train/psnr", -10 * torch.log10((rgb - rgbs).square().mean()))
            self.log("lr", self.optimizers().param_groups[0]["lr"])  # type: ignore[union-attr]
        return {
            "loss": batch.weight * loss,
            "rgb": rgb,
            "field_rgb": field_rgb,
            "target": rgbs,
            "n_samples": best.n_samples,
        }

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
        return NearbyExposure(self.train_cameras, self.appearance)

    def on_validation_epoch_start(self) -> None:
        self.validation.begin()

    def validation_step(self, batch: ViewBatch, batch_idx: int) -> None:
        number = batch_idx * self.trainer.world_size + self.trainer.global_rank
        if number >= len(self.validation.views):
            return  # given only so that all processes have as many
        rays, rgbs = self.decode_batch(batch)
        output = self(rays)
        if self.exposure is not None:
            c2w = self.scene.cameras.c2w[self.validation.views[number]]
            output = self.exposure(output, c2w, self.scene.background)
        self.validation.measure(number, batch, output)
        if number == 0:
            stack = self.validation.compare(batch, output, rgbs)
            log_images(self.logger, self.global_step, stack)

    def on_validation_epoch_end(self) -> None:
        self.log_dict(self.validation.means(self.global_step))  # the same in each process

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["format_version"] = FORMAT_VERSION
        checkpoint["recipe"] = asdict(self.recipe)
        checkpoint["scene"] = self.scene.to_dict()
        checkpoint["position"] = self.position

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        position = checkpoint["position"]
        if not isinstance(position, int) or not 0 <= position < 1 << 48:
            raise ValueError(f"training rays up to {position!r}")
        self.position = position


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
        return parse_training(sys.argv[1:], from_checkpoint(kept, options.ckpt_path))
    if options.preset:
        return parse_training(sys.argv[1:], from_dict(TrainOptions, PRESETS[options.preset]))
    return options


def train(options: TrainOptions) -> str | None:
    """Train as the options say; returns why it collapsed, None where it did not."""
    accelerator, devices = choose_devices(options.accelerator, options.num_gpus)
    seed_everything(options.seed, verbose=False)
    system = NeRFSystem(**to_dict(options))
    system.setup("fit")  # mistakes in the scene are told before anything is written
    resumed = start_from(system, options, system.scene)
    processes = max(world_size(), devices)
    run = make_run(
        *(options, system.spec, options.config, to_dict(options), system.train_photos),
        *(accelerator, devices, processes, options.refine_poses),
    )
    if resumed is not None and (reached := reached_limit(run, options, resumed)) is not None:
        print(reached)
        return None
    if options.view:
        run.trainer.callbacks.append(live_page(run.clock))  # type: ignore[attr-defined]
    announce(system, options, processes, accelerator)
    resume_from = None if resumed is None else options.ckpt_path
    with going_on(run, options, resume_from):
        check_writable(run.keep_last.path.parent)
        run.trainer.fit(system, ckpt_path=resume_from, weights_only=True)
        if run.keep_last.interrupted:
            print(go_on_with(run.keep_last.path))
            sys.exit(130)
        if run.guard.reason is not None:
            return run.guard.reason
        if system.validation.step != system.global_step:
            run.trainer.validate(system, verbose=False)
        finish(system, run, bool(options.encode_appearance))
    folder = log_folder(run.trainer)
    if options.snapshots and folder is not None:
        from learn.figures.snapshots import draw_snapshots  # matplotlib takes a second

        draw_snapshots(folder)
    return None


def live_page(clock: TrainingClock) -> Callback:
    """The page of --view. Raises UserError where viser is missing."""
    try:
        from viewing.in_training import LivePage  # viser takes a second
    except ModuleNotFoundError as error:
        if error.name != "viser":
            raise
        raise UserError("--view needs viser: pip install viser") from error
    return LivePage(clock)


if __name__ == "__main__":
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    run_command(main, should_report)
