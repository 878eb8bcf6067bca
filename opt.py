"""The options of train.py and eval.py, declared, documented and checked in one place.

Flags that nerf_pl users know keep their names and meaning. A model's own options are declared
beside the model (ModelSpec.config) and become flags of train.py with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, make_dataclass, replace
from pathlib import Path
from typing import Any, Literal

from cli import check_values, parse, read_flag, to_dict
from datasets.config import SceneConfig
from errors import UserError, require, require_positive
from models import find_model, model_dict
from training.config import Accelerator, LengthConfig, OutputConfig, RunConfig
from training.optim.config import OptimizerConfig


@dataclass(frozen=True)
class FieldConfig:
    """The field, and how its rays are trained."""

    model: str = "nerf"
    """the field; --help with a --model lists that model's own options"""
    preset: Literal["cs180"] | None = None
    """options of a known setting, under those given here; cs180: the Berkeley class project"""
    perturb: float = 1.0
    """how far the samples of a training ray are shifted at random within their intervals"""
    noise_std: float = 1.0
    """standard deviation of the noise that is added to sigma in training; voxels take it in a place
    alone, not of an object before a blank background"""
    encode_appearance: bool | None = None
    """give each training photo its own exposure and colours, and measure held-out photos by
    exposing them as fits their left half; by default, voxels of a place (not of an object before a
    blank background) are trained so, and held-out views exposed as photos nearby lead to expect"""

    refine_poses: bool = False
    """correct the photos' poses and their lens while the field is trained, and each held-out
    camera on its own photo before it is measured (docs/poses.md)"""

    loss_type: Literal["mse", "huber"] | None = None
    """loss; by default the model's own (huber for voxels, mse for the others)"""


@dataclass(frozen=True)
class TrainOptions(FieldConfig, RunConfig, OptimizerConfig, SceneConfig):
    """Train a neural radiance field on a scene with known camera poses.

    For example: python train.py --model voxels --max_time 300 --dataset_name llff
    --root_dir scenes/pig --exp_name pig
    """

    config: Any = None
    """the model's own options; by default all as ModelSpec.config has them"""

    def __post_init__(self) -> None:
        SceneConfig.__post_init__(self)
        OptimizerConfig.__post_init__(self)
        RunConfig.__post_init__(self)
        spec = find_model(self.model)
        if self.config is None:
            object.__setattr__(self, "config", spec.config())
        require(self.noise_std >= 0, "--noise_std must not be negative")
        require(0 <= self.perturb <= 1, f"--perturb must be between 0 and 1, not {self.perturb}")


@dataclass(frozen=True)
class EvalOptions:
    """Render a trained field, and measure it where there are photos to compare with.

    Needs --ckpt_path alone: everything else is read from the checkpoint unless it is given.
    """

    ckpt_path: str
    """checkpoint of train.py or of nerf_pl, or a file of --export_weights"""
    root_dir: str | None = None
    """folder of the scene, where it has moved (and for a nerf_pl checkpoint)"""
    dataset_name: str | None = None
    """format of the scene (for a nerf_pl checkpoint)"""
    img_wh: tuple[int, int] | None = None
    """width and height of the images"""
    spheric_poses: bool | None = None
    """photos taken around an object (for a nerf_pl checkpoint)"""
    N_samples: int | None = None
    """coarse samples per ray"""
    N_importance: int | None = None
    """further samples per ray for the fine network"""
    use_disp: bool | None = None
    """space the coarse samples evenly in disparity"""
    sampler: Literal["hierarchical", "occupancy"] | None = None
    """how rays are sampled, where it is not to be as in training: occupancy renders a network of
    two passes faster"""
    chunk: int | None = None
    """points that a network sees at once; halved when memory runs out"""

    split: Literal["test", "val", "train", "path"] | None = None
    """views to render; by default a short preview of the path, and the test views where their
    photos are at hand"""
    path: str | None = None
    """camera path (implies --split path): orbit, arc, dome, spiral, trajectory, interp, or a JSON
    file of cameras; by default the one that suits the photos"""
    path_seconds: float = 8.0
    """length of the path"""
    path_height: float | None = None
    """degrees, as seen from the subject, that the path is raised above the photos' height"""
    path_radius: float | None = None
    """factor on the photos' distance from the subject (on the width, for a spiral)"""
    path_roll: float = 0.0
    """degrees clockwise that the photos are to be turned to stand upright, where nothing tells"""
    n_frames: int | None = None
    """frames of the path; by default --path_seconds times --fps"""
    fps: float = 30.0
    """frames per second of the MP4 and the GIF"""
    gif_width: int | None = None
    """width of the GIF at most, in pixels"""
    gif_mb: float = 8.0
    """size of the GIF at most, in megabytes: it is made smaller until it fits"""
    scene_name: str | None = None
    """name of the results' folder; by default the name of the root folder"""
    out_dir: str | None = None
    """folder of the results, one folder in it for each split; by default
    results/<dataset_name>/<scene_name>"""
    lpips: bool = False
    """measure LPIPS too; takes the lpips package, and a download at its first use"""
    save_depth: bool = False
    """write each view's depth"""
    depth_format: Literal["pfm", "npy", "bytes"] = "pfm"
    """format of the depth files: PFM, NumPy, or raw little-endian float32"""
    no_crop: bool = False
    """render all of the scene, where view.py has saved a crop box into the checkpoint"""
    export_weights: str | None = None
    """write weights, options and cameras, without the optimizer, to this file, and stop"""
    export_mb: float = 25.0
    """megabytes of that file, where its pictures stay within 45 dB of the checkpoint's: tables take
    8 bits a value or fewer (4 at least), the rest half precision; 0 writes all as they are"""
    save_poses: str | None = None
    """write the cameras that training refined (--refine_poses) to this transforms.json, which
    train.py reads from the folder that it is in, and stop; held-out ones are fitted first"""
    num_gpus: int = 1
    """GPUs (or CPU processes) that share the views"""
    accelerator: Accelerator = "auto"
    """device; auto takes a GPU where there is one"""

    def __post_init__(self) -> None:
        for name in (
            *("N_samples", "chunk", "n_frames", "fps", "num_gpus"),
            *("path_seconds", "path_radius", "gif_width", "gif_mb"),
        ):
            require_positive(self, name)
        require(self.export_mb >= 0, "--export_mb must not be negative")
        require(
            self.save_poses is None or Path(self.save_poses).name == "transforms.json",
            f"--save_poses must name a transforms.json in a folder, not {self.save_poses}",
        )
        require(self.fps <= 120, f"--fps must be at most 120, not {self.fps:g}")
        if self.img_wh is not None:
            require(min(self.img_wh) > 0, f"--img_wh must be positive, not {self.img_wh}")
        if self.path is not None:
            require(
                self.split in (None, "path"),
                f"--path goes with --split path, not --split {self.split}",
            )

    def over(self, trained: TrainOptions) -> TrainOptions:
        """The options of the training, under those that are given here.

        Raises UserError for an option that means nothing with the model.
        """
        given = {n: v for n in _EVALUATED_AGAIN if (v := getattr(self, n)) is not None}
        own = {field.name for field in fields(trained.config)}
        common = {field.name for field in fields(trained)}
        refused = next((name for name in given if name not in own | common), None)
        require(refused is None, f"--{refused} means nothing with --model {trained.model}")
        config = replace(trained.config, **{n: v for n, v in given.items() if n in own})
        return replace(trained, config=config, **{n: given[n] for n in given if n in common})


# Options of the training that an evaluation may have otherwise.
_EVALUATED_AGAIN = (
    *("root_dir", "dataset_name", "img_wh", "spheric_poses"),
    *("N_samples", "N_importance", "use_disp", "sampler", "chunk"),
)


def parse_training(args: Sequence[str], default: TrainOptions | None = None) -> TrainOptions:
    """Read the options of train.py, the model's own among them.

    Args:
        args: the command line.
        default: what is taken where the command line says nothing.

    Raises UserError, in one line, for options that do not fit, or mean nothing with the model.
    """
    name = read_flag(args, "model") or (default.model if default else TrainOptions.model)
    spec = find_model(name)
    default = default or TrainOptions(model=name)
    if default.model != name:
        default = from_dict(TrainOptions, {**to_dict(default), "model": name})
    for other in model_dict.values():
        for field in fields(other.config):
            if read_flag(args, field.name) is not None and field.name not in _names(spec.config):
                users = [m.name for m in model_dict.values() if field.name in _names(m.config)]
                raise UserError(
                    f"--{field.name} is an option of --model {', '.join(users)}; it means nothing "
                    f"with --model {name}"
                )
    for option in sorted(spec.unused_options):
        if read_flag(args, option) is not None:
            raise UserError(f"--{option} means nothing with --model {name}; leave it out")
    groups = {
        "scene": SceneConfig,
        "model": _with_models(FieldConfig),
        "training": LengthConfig,
        "output": OutputConfig,
        "optimizer": OptimizerConfig,
    }
    return parse(TrainOptions, args, default, nested={"config": spec.config}, groups=groups)


def _with_models(kind: type) -> type:
    """The same dataclass, whose description lists the models."""
    listed = "; ".join(f"{name}: {spec.help}" for name, spec in model_dict.items())
    described = make_dataclass(kind.__name__, [], bases=(kind,), frozen=True)
    described.__doc__ = f"{kind.__doc__} Models are {listed}."
    return described


def from_dict(kind: type[Any], values: dict[str, Any]) -> Any:
    """Options of `kind` from plain values.

    Names that `kind` does not have are left out, as are values of None where that is no default
    (in checkpoints from before models had their own options). Raises UserError for values that an
    option cannot have.
    """
    kept: dict[str, Any] = {}
    for field in fields(kind):
        if field.name == "config":
            spec = find_model(str(values.get("model") or TrainOptions.model))
            kept["config"] = from_dict(spec.config, values)
        elif field.name in values:
            value = values[field.name]
            if value is not None or field.default is None:
                kept[field.name] = tuple(value) if isinstance(value, list) else value
    check_values(kind, kept)
    return kind(**kept)


def from_checkpoint(values: dict[str, Any], path: str | Path) -> TrainOptions:
    """The options of the training that a checkpoint keeps.

    Raises UserError, naming the file, for values that no training had.
    """
    try:
        options: TrainOptions = from_dict(TrainOptions, values)
    except UserError as error:
        raise UserError(f"{path}: damaged options ({error}); copy it again") from error
    return options


def _names(kind: type[Any]) -> set[str]:
    return {field.name for field in fields(kind)}


# Berkeley's CS180 project, second part: 10,000 random rays a step over all images, 64 samples from
# 2 to 6, Adam with a constant 5e-4, PSNR on 6 validation views every 50 iterations. The handout's
# scene is 200 x 200 pixels.
PRESETS: dict[str, dict[str, Any]] = {
    "cs180": {
        "preset": "cs180",
        "batch_size": 10_000,
        "N_samples": 64,
        "N_importance": 0,
        "near": 2.0,
        "far": 6.0,
        "noise_std": 0.0,
        "optimizer": "adam",
        "lr": 5e-4,
        "decay_step": [1_000_000],
        "max_steps": 3000,
        "val_every_steps": 50,
        "val_views": 6,
        "val_rays": 0,
        "snapshots": [0, 100, 200, 500, 700, 900, 1500],
        "save_top_k": 1,
    }
}
