"""The options of the commands: declared, documented and checked in one place.

Flags that nerf_pl users know keep their names and meaning.
"""

from __future__ import annotations

import contextlib
import io
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any, Literal, TypeVar, cast

import torch
import tyro

from errors import UserError

DatasetName = Literal["blender", "llff", "transforms", "npz", "colmap", "demo"]
OptionsT = TypeVar("OptionsT")

# A switch with three states: absent (detect), `--flag` or `--flag True`, `--flag False`.
_Switch = tyro.constructors.PrimitiveConstructorSpec(
    nargs="*",
    metavar="[True|False]",
    instance_from_str=lambda words: _switch(words),
    is_instance=lambda value: value is None or isinstance(value, bool),
    str_from_instance=lambda value: [str(value)],
)


def _switch(words: list[str]) -> bool | None:
    states = {"true": True, "1": True, "false": False, "0": False, "none": None}
    word = words[0].lower() if words else "true"
    if len(words) > 1 or word not in states:
        raise ValueError(f"expected True or False, got {' '.join(words)}")
    return states[word]


@dataclass(frozen=True)
class SceneOptions:
    """Which scene, and how its files are read."""

    root_dir: str = ""
    """folder of the scene (a file for npz)"""
    dataset_name: DatasetName = "blender"
    """format of the scene"""
    img_wh: tuple[int, int] | None = None
    """width and height that the photos are resized to; by default their own"""
    spheric_poses: Annotated[bool | None, _Switch] = None
    """llff, transforms, colmap: photos taken around an object (True) or facing forward (False); by
    default detected from the cameras"""
    cut_out: Annotated[bool | None, _Switch] = None
    """llff, transforms, colmap: what masks leave out, or what is transparent, is empty: the photos
    show an object alone (True), or nothing is known of it (False); by default True where photos
    are transparent, and where masks leave little else than an object"""
    holdout: int = 8
    """llff, transforms, colmap: every Nth photo is kept from training and tested on;
    0 trains on all"""
    near: float | None = None
    """nearest distance that is sampled, in the units of the scene's files; by default the
    scene's own bound"""
    far: float | None = None
    """farthest distance that is sampled, likewise"""

    def __post_init__(self) -> None:
        if self.img_wh is not None:
            _require(min(self.img_wh) > 0, f"--img_wh must be positive, not {self.img_wh}")
        _require(
            self.holdout == 0 or self.holdout > 1,
            f"--holdout must be 0 or at least 2, not {self.holdout}",
        )
        _require(self.near is None or self.near >= 0, f"--near must not be negative: {self.near}")
        if self.near is not None and self.far is not None:
            _require(self.near < self.far, f"--near {self.near} must be under --far {self.far}")


@dataclass(frozen=True)
class TrainOptions(SceneOptions):
    """Train a neural radiance field on a scene with known camera poses."""

    model: Literal["nerf", "tensorf", "voxels"] = "nerf"
    """the field: the paper's network, TensoRF's planes and lines, or a sparse voxel table that
    trains in a minute"""
    sampler: Literal["hierarchical", "occupancy"] | None = None
    """how rays are sampled: in a coarse and a fine pass, or where something is; by default
    hierarchical for nerf, occupancy for the others"""
    resolution: int | None = None
    """tensorf, voxels: cells along the longest side of the scene at the end; by default as fine as
    the photos' pixels, within memory"""
    preset: Literal["cs180"] | None = None
    """options of a known setting, under those given here; cs180: the Berkeley class project"""
    N_samples: int = 64
    """coarse samples per ray"""
    N_importance: int = 128
    """further samples per ray for the fine network; 0 trains the coarse one alone"""
    use_disp: bool = False
    """space the coarse samples evenly in disparity (1 / depth)"""
    perturb: float = 1.0
    """how far the samples of a training ray are shifted at random within their intervals"""
    noise_std: float = 1.0
    """standard deviation of the noise that is added to sigma in training; for nerf, and for voxels
    of a place (not of an object before a blank background)"""
    netdepth: int = 8
    """layers of the network"""
    netwidth: int = 256
    """channels of each layer"""
    netskip: int = 4
    """layer (from 0) whose input the position joins again"""
    N_emb_xyz: int = 10
    """frequencies of the position's encoding"""
    N_emb_dir: int = 4
    """frequencies of the direction's encoding"""
    encode_appearance: Annotated[bool | None, _Switch] = None
    """give each training photo its own exposure and colours, and measure held-out photos by
    exposing them as fits their left half; by default, voxels of a place (not of an object before a
    blank background) are trained so, and held-out views exposed as photos nearby lead to expect"""

    distortion: float | None = None
    """voxels: weight of the distortion loss, which draws what a ray meets together (mip-NeRF 360);
    by default none"""
    loss_type: Literal["mse", "huber"] | None = None
    """loss; by default mse for nerf and tensorf, huber for voxels"""
    batch_size: int | None = None
    """rays per step and process: N processes take N times as many in a step; by default 1024, for
    tensorf 4096 (on a CPU fewer while empty space is not yet known), and for voxels as many as make
    a set number of samples"""
    chunk: int = 32 * 1024
    """points that a network sees at once when an image is rendered; less needs less memory"""
    num_epochs: int = 16
    """passes over all training pixels; no limit where --max_steps or --max_time sets one"""
    max_steps: int | None = None
    """stop after this many steps"""
    max_time: float | None = None
    """stop after this many seconds of training (validation is not counted)"""
    val_every_steps: int | None = None
    """validate every N steps; by default after each epoch"""
    val_views: int | None = None
    """held-out views that a validation renders; by default 8 on a GPU, 2 on a CPU"""
    val_rays: int | None = None
    """rays of each of them at most, on a regular grid over the view; by default all (0) on a
    GPU, 4096 on a CPU"""

    snapshots: tuple[int, ...] = ()
    """steps at which the first validation view is rendered whole, for a strip of how it forms;
    at the end GIFs of the test cameras' views and depth are made as well"""

    num_gpus: int = 1
    """GPUs (or CPU processes) to train on, on each machine"""
    num_nodes: int = 1
    """machines to train on; torchrun and SLURM, which start the processes, say it by themselves"""
    strategy: Literal["auto", "ddp", "ddp_find_unused_parameters_true"] = "auto"
    """how several processes train together; auto is ddp: each averages its gradients with all"""
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"] = "auto"
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

    optimizer: Literal["sgd", "adam", "radam", "adamw", "nadam", "adamax", "adagrad", "rmsprop"] = (
        "adam"
    )
    """optimizer"""
    lr: float | None = None
    """learning rate; by default 5e-4 for nerf; for the others that of their network (tensorf 1e-3,
    voxels 3e-3), which the tables' rates keep their proportion to"""
    momentum: float = 0.9
    """momentum (sgd, rmsprop)"""
    weight_decay: float = 0.0
    """weight decay"""
    lr_scheduler: Literal["steplr", "cosine", "poly"] = "steplr"
    """how the learning rate falls"""
    warmup_multiplier: float = 1.0
    """the learning rate rises to this many times --lr over --warmup_epochs (sgd, adam, ...;
    radam warms up by itself)"""
    warmup_epochs: int = 0
    """epochs of warm-up"""
    decay_step: tuple[int, ...] = (20,)
    """steplr: epochs after which the learning rate is multiplied by --decay_gamma"""
    decay_gamma: float = 0.1
    """steplr: factor"""
    poly_exp: float = 0.9
    """poly: exponent"""

    exp_name: str = "exp"
    """name of the run: ckpts/<exp_name>, logs/<exp_name>"""
    save_top_k: int = 5
    """best checkpoints to keep (by val/loss); -1 keeps all"""
    no_restart: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """do not start again from another seed when training has collapsed"""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("N_samples", "chunk", "num_epochs", "netdepth", "netwidth"):
            _require(getattr(self, name) > 0, f"--{name} must be positive")
        _require(self.num_nodes > 0, f"--num_nodes must be positive, not {self.num_nodes}")
        for name in ("batch_size", "max_steps", "max_time", "val_every_steps", "val_views"):
            value = getattr(self, name)
            _require(value is None or value > 0, f"--{name} must be positive, not {value}")
        for name in ("N_importance", "noise_std", "weight_decay", "warmup_epochs", "num_gpus"):
            _require(getattr(self, name) >= 0, f"--{name} must not be negative")
        _require(
            self.N_samples >= 3 or self.N_importance == 0, "--N_importance needs N_samples >= 3"
        )
        _require(
            self.resolution is None or self.resolution >= 16,
            f"--resolution must be at least 16, not {self.resolution}",
        )
        _require(
            self.model != "voxels" or self.sampler != "hierarchical",
            "--model voxels goes with --sampler occupancy: its table has no coarse pass",
        )
        _require(0 <= self.perturb <= 1, f"--perturb must be between 0 and 1, not {self.perturb}")
        _require(self.lr is None or self.lr > 0, f"--lr must be positive, not {self.lr}")
        _require(
            self.distortion is None or 0 <= self.distortion < math.inf,
            f"--distortion must not be negative, nor without end: {self.distortion}",
        )
        _require(
            self.distortion is None or self.model == "voxels",
            "--distortion is a loss of --model voxels",
        )
        _require(self.warmup_multiplier >= 1, "--warmup_multiplier must be at least 1")
        _require(self.save_top_k >= -1, "--save_top_k must be -1 (all) or more")
        _require(
            bool(self.exp_name) and self.exp_name not in (".", "..") and "/" not in self.exp_name,
            f"--exp_name must be a plain folder name, not {self.exp_name!r}",
        )


@dataclass(frozen=True)
class EvalOptions:
    """Render a trained field, and measure it where there are photos to compare with.

    Needs --ckpt_path alone: everything else is read from the checkpoint unless it is given.
    """

    ckpt_path: str
    """checkpoint of train.py or of nerf_pl, or a file of --export_weights"""
    root_dir: str | None = None
    """folder of the scene, where it has moved (and for a nerf_pl checkpoint)"""
    dataset_name: DatasetName | None = None
    """format of the scene (for a nerf_pl checkpoint)"""
    img_wh: tuple[int, int] | None = None
    """width and height of the images"""
    spheric_poses: Annotated[bool | None, _Switch] = None
    """photos taken around an object (for a nerf_pl checkpoint)"""
    N_samples: int | None = None
    """coarse samples per ray"""
    N_importance: int | None = None
    """further samples per ray for the fine network"""
    use_disp: Annotated[bool | None, _Switch] = None
    """space the coarse samples evenly in disparity"""
    sampler: Literal["hierarchical", "occupancy"] | None = None
    """how rays are sampled, where it is not to be as in training: occupancy renders a network of
    two passes faster"""
    chunk: int | None = None
    """points that a network sees at once; halved when memory runs out"""

    split: Literal["test", "val", "train", "path"] | None = None
    """views to render; by default test, or the path where there is no test view at hand"""
    path: str | None = None
    """camera path (implies --split path): spiral, orbit, interp, or a JSON file of cameras; by
    default orbit around an object, spiral before a forward-facing scene"""
    n_frames: int = 60
    """frames of the path"""
    fps: int = 25
    """frames per second of the GIF and the MP4"""
    scene_name: str | None = None
    """name of the results' folder; by default the name of the root folder"""
    out_dir: str | None = None
    """folder of the results; by default results/<dataset_name>/<scene_name>"""
    save_depth: bool = False
    """write each view's depth"""
    depth_format: Literal["pfm", "npy", "bytes"] = "pfm"
    """format of the depth files: PFM, NumPy, or raw little-endian float32"""
    export_weights: str | None = None
    """write weights, options and cameras, without the optimizer, to this file, and stop"""
    num_gpus: int = 1
    """GPUs (or CPU processes) that share the views"""
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"] = "auto"
    """device; auto takes a GPU where there is one"""

    def __post_init__(self) -> None:
        for name in ("N_samples", "chunk", "n_frames", "fps", "num_gpus"):
            value = getattr(self, name)
            _require(value is None or value > 0, f"--{name} must be positive, not {value}")
        _require(self.fps <= 50, f"--fps must be at most 50 (a GIF's limit), not {self.fps}")
        if self.img_wh is not None:
            _require(min(self.img_wh) > 0, f"--img_wh must be positive, not {self.img_wh}")
        if self.path is not None and self.split not in (None, "path"):
            _require(False, f"--path goes with --split path, not --split {self.split}")


@dataclass(frozen=True)
class PrepareOptions:
    """Make a scene from photos, from a video, or from a COLMAP reconstruction."""

    input: str
    """folder of photos, video file (mp4, mov, gif), or folder with images/ and sparse/ of COLMAP"""
    root_dir: str
    """folder of the scene that is written"""
    max_size: int = 1600
    """longer side that larger photos are reduced to, in pixels"""
    n_frames: int = 60
    """frames that are taken of a video, the sharpest ones spread over its time"""
    mapper: Literal["incremental", "global"] = "incremental"
    """how poses are found: photo by photo, or all at once (faster for hundreds of photos)"""
    aruco: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """poses from a printed ArUco tag (DICT_4X4_50) that all photos show"""
    tag_size: float | None = None
    """aruco: side of the tag's black square in metres"""
    calibration: str | None = None
    """aruco: folder of photos of the tag to calibrate the camera from; by default the input's"""

    def __post_init__(self) -> None:
        _require(bool(self.input), "--input is empty: name the folder of the photos")
        _require(bool(self.root_dir), "--root_dir is empty: name the folder of the scene")
        _require(self.max_size >= 200, f"--max_size must be at least 200, not {self.max_size}")
        _require(not self.aruco or self.tag_size is not None, "--aruco needs --tag_size, in metres")
        _require(
            self.aruco or (self.tag_size, self.calibration) == (None, None),
            "--tag_size and --calibration go with --aruco",
        )
        _require(self.tag_size is None or self.tag_size > 0, "--tag_size must be positive")
        _require(self.n_frames >= 3, f"--n_frames must be at least 3, not {self.n_frames}")


def parse(
    kind: type[OptionsT], args: Sequence[str] | None = None, default: OptionsT | None = None
) -> OptionsT:
    """Read options of `kind` from `args` (the command line), over those of `default`.

    Raises UserError, in one line, for options that do not fit.
    """
    # tyro draws its errors as boxes of several lines; take their words.
    box = io.StringIO()
    args = sys.argv[1:] if args is None else args
    try:
        with contextlib.redirect_stderr(box):
            return cast(OptionsT, tyro.cli(kind, args=args, default=default, use_underscores=True))
    except SystemExit as stop:
        if stop.code != 2:
            raise
    lines = [line.strip(" │") for line in box.getvalue().splitlines() if line.startswith("│")]
    first_rule = next((i for i, line in enumerate(lines) if line.startswith("──")), len(lines))
    text = " ".join(lines[:first_rule])
    if "Perhaps you meant:" in lines:
        text += f" (perhaps you meant {lines[lines.index('Perhaps you meant:') + 1]})"
    raise UserError(f"{text or box.getvalue().strip()}; see --help")


def plain(options: Any) -> dict[str, Any]:
    """The options as plain values, as a checkpoint keeps them."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(options).items()
    }


def from_plain(kind: type[OptionsT], values: dict[str, Any]) -> OptionsT:
    """Options of `kind` from plain values; names that `kind` does not have are left out."""
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    return kind(
        **{
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
            if name in names
        }
    )


def resolve_device(accelerator: str) -> torch.device:
    """The device that `--accelerator` names. Raises UserError where it is absent."""
    has_mps = torch.backends.mps.is_available()
    if accelerator == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if has_mps else "cpu"
    elif accelerator == "gpu":
        name = "mps" if has_mps and not torch.cuda.is_available() else "cuda"
    else:
        name = accelerator
    if (name == "cuda" and not torch.cuda.is_available()) or (name == "mps" and not has_mps):
        raise UserError(
            f"--accelerator {accelerator}: this machine has no such GPU; use cpu or auto"
        )
    return torch.device(name)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UserError(message)
