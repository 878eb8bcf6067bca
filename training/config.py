"""Options of a training run: how long, on what, and what is kept of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from errors import require, require_positive

Accelerator = Literal["auto", "cpu", "gpu", "cuda", "mps"]


@dataclass(frozen=True)
class LengthConfig:
    """How long a run is, and on what it runs."""

    batch_size: int | None = None
    """rays per step and process: N processes take N times as many in a step; by default the
    model's own (1024 for nerf); fields that grow take as many as make a set number of samples"""
    num_epochs: int = 16
    """passes over all training pixels; no limit where --max_steps or --max_time sets one"""
    max_steps: int | None = None
    """stop after this many steps"""
    max_time: float | None = None
    """stop after this many seconds of training (validation is not counted)"""
    val_every_steps: int | None = None
    """validate every N steps; by default after each epoch"""
    val_views: int | None = None
    """held-out views that a validation during training renders; by default 8 on a GPU, 2 on a
    CPU"""
    val_rays: int | None = None
    """rays of each of them at most, on a regular grid over the view; by default all (0) on a
    GPU, 4096 on a CPU"""

    num_gpus: int = 1
    """GPUs (or CPU processes) to train on, on each machine"""
    num_nodes: int = 1
    """machines to train on; torchrun and SLURM, which start the processes, say it by themselves"""
    strategy: Literal["auto", "ddp", "ddp_find_unused_parameters_true"] = "auto"
    """how several processes train together; auto is ddp: each averages its gradients with all"""
    accelerator: Accelerator = "auto"
    """device; auto takes a GPU where there is one"""
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"
    """arithmetic; on NVIDIA's GPUs training with 32-true multiplies in TF32"""
    compile: bool = False
    """compile the networks with torch.compile"""
    seed: int = 0
    """seed of everything that is random"""

    ckpt_path: str | None = None
    """checkpoint to go on from: a run's last.ckpt resumes it, weights alone start from them"""
    prefixes_to_ignore: tuple[str, ...] = ("loss",)
    """weights of the checkpoint whose names start so are left out"""
    no_restart: bool = False
    """do not start again from another seed when training has collapsed"""


@dataclass(frozen=True)
class OutputConfig:
    """What a run is called, and what is kept of it."""

    exp_name: str = "exp"
    """name of the run: ckpts/<exp_name>, logs/<exp_name>"""
    save_top_k: int = 5
    """best checkpoints to keep (by val/loss); -1 keeps all"""
    keep_epochs: tuple[int, ...] = ()
    """keep checkpoints after so many epochs too, as after_epoch=N.ckpt, for report.py
    --checkpoints; an epoch is a pass over as many rays as there are training pixels"""
    keep_steps: tuple[int, ...] = ()
    """keep checkpoints after so many steps, as after_step=N.ckpt"""
    keep_seconds: tuple[int, ...] = ()
    """keep checkpoints after so many seconds of training, as after_seconds=N.ckpt"""
    snapshots: tuple[int, ...] = ()
    """steps at which the first validation view is rendered whole, for a strip of how it forms;
    at the end GIFs of the test cameras' views and depth are made as well"""
    view: bool = False
    """show the scene in the browser while it is trained: view.py's page, and the PSNR's curve"""


@dataclass(frozen=True)
class RunConfig(OutputConfig, LengthConfig):
    """How long a run is, on what it runs, and what is kept of it."""

    def __post_init__(self) -> None:
        for name in (
            *("batch_size", "num_epochs", "max_steps", "max_time"),
            *("val_every_steps", "val_views", "num_nodes"),
        ):
            require_positive(self, name)
        require(self.num_gpus >= 0, "--num_gpus must not be negative")
        for name in ("keep_epochs", "keep_steps", "keep_seconds"):
            points = getattr(self, name)
            require(all(point > 0 for point in points), f"--{name} must be positive")
        require(self.save_top_k >= -1, "--save_top_k must be -1 (all) or more")
        require(
            self.exp_name not in ("", ".", "..") and not {"/", "\\"} & {*self.exp_name},
            f"--exp_name must be a plain folder name, not {self.exp_name!r}",
        )
