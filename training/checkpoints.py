"""Checkpoints, read without running what may be in them: ours, exported ones, and nerf_pl's.

All hold "state_dict". Ours also holds "hyper_parameters" (the options as plain values), "scene"
(cameras and bounds, datasets.scene.Scene.to_dict), "recipe" (the constants that the model was
trained with) and "format_version"; an exported one holds these alone. docs/checkpoints.md has the
format.
"""

from __future__ import annotations

import argparse
import pickle
import re
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from datasets.files.layout import check_layout
from datasets.files.numbers import is_number
from datasets.scene import Scene
from errors import UserError
from geometry.crop import CropBox
from training.packing import unpack
from writing.files import replacing

# 1: without a version and a recipe. 2: with them, and with today's names. 3: an exported file whose
# weights are packed (training/packing.py).
FORMAT_VERSION, PACKED_VERSION = 2, 3
# Names of weights in format 1.
_ALIASES = {"nerf_coarse.unseen": "nerf_coarse.background_sh"}
# What nerf_pl's checkpoints hold of their training: options, optimizers, schedulers. Names from
# here are replaced by an inert class; nothing of theirs is imported or called.
_TRAINING_STATE = re.compile(
    r"(argparse\.Namespace|(utils|warmup_scheduler|pytorch_lightning|test_tube)\.[\w.]*"
    r"|torch\.optim\.[\w.]*|collections\.defaultdict|builtins\.dict|functools\.partial"
    r"|pathlib\.\w*Path|numpy(\._?core)?\.(multiarray\.scalar|dtype))"
)
_REFUSED = re.compile(r"GLOBAL (?!was)([\w.]+)")


class _Inert:
    """Stands for an object of a training that is over."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def _stub(name: str) -> Any:
    if name == "collections.defaultdict":
        return lambda *args: OrderedDict()  # the loader fills only dictionaries that it knows
    return type(name.rsplit(".", 1)[-1], (_Inert,), {})


@dataclass(frozen=True)
class Progress:
    """How far a run had come."""

    steps: int = 0
    epochs: int = 0
    seconds: float = 0.0
    rays: int = 0


@dataclass(frozen=True)
class Checkpoint:
    """What is needed to render, and whether there is more, to go on training.

    Attributes:
        options: of the training, as plain values (for nerf_pl, those that it kept and those that
            the shapes of its weights tell).
        scene: None for nerf_pl.
        recipe: as plain values; None before format 2, whose recipes were those of format 2's
            beginning.
        photo_names: of the scene's cameras, None for those without a photo; empty where the
            checkpoint does not tell.
        progress: of the run in it.
    """

    options: dict[str, Any]
    scene: Scene | None
    state_dict: dict[str, Tensor]
    resumable: bool
    from_nerf_pl: bool
    recipe: dict[str, Any] | None = None
    photo_names: tuple[str | None, ...] = ()
    progress: Progress = Progress()

    def settled_options(self) -> dict[str, Any]:
        """The options, with what was detected in the photos decided as it was then: another rule
        of detection must not move the cameras of a trained scene."""
        if self.scene is None or self.options.get("spheric_poses") is not None:
            return self.options
        return {**self.options, "spheric_poses": not self.scene.forward_facing}

    def part(self, name: str) -> dict[str, Tensor]:
        """The weights of one part of the system, by their names within it."""
        prefix = f"{name}."
        return {
            key.removeprefix(prefix): value
            for key, value in self.state_dict.items()
            if key.startswith(prefix)
        }

    def weights(self, prefixes_to_ignore: tuple[str, ...] = ()) -> dict[str, Tensor]:
        """The weights whose names, whole or within their network, start with none of these."""
        return {
            name: value
            for name, value in self.state_dict.items()
            if not name.startswith(prefixes_to_ignore)
            and not name.split(".", 1)[-1].startswith(prefixes_to_ignore)
        }


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint. Raises UserError where it is missing, damaged, foreign or holds code."""
    content = _load(path)
    if not isinstance(content, dict):
        raise UserError(f"{path}: not a checkpoint (it holds a {type(content).__name__})")
    state = content.get("state_dict", content)
    if not isinstance(state, dict):
        raise UserError(f"{path}: its weights are damaged; copy it again")
    weights = {
        _ALIASES.get(name, name): weight
        for name, weight in state.items()
        if isinstance(name, str) and isinstance(weight, Tensor)
    }
    version = content.get("format_version", 1)
    if not isinstance(version, int) or version > PACKED_VERSION:
        raise UserError(f"{path}: written by a newer version of this project; update it")
    if version == PACKED_VERSION:
        try:
            weights = unpack(weights, content.get("packed"))
        except (UserError, ValueError, RuntimeError, TypeError) as error:
            raise UserError(_damaged(path)) from error
    if not any(name.startswith("nerf_coarse.") for name in weights):
        some = ", ".join(str(name) for name in list(state)[:3])
        raise UserError(f"{path}: not a checkpoint of this project or of nerf_pl (it has {some})")
    if "scene" in content:
        try:
            scene = Scene.from_dict(content["scene"])
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
        any_values = {str: object}
        options = check_layout(
            content.get("hyper_parameters"), any_values, f"{path}: hyper_parameters"
        )
        recipe = content.get("recipe")
        check_layout({} if recipe is None else recipe, any_values, f"{path}: recipe")
        return Checkpoint(
            *(options, scene, weights, "loops" in content, False, recipe),
            photo_names=_photo_names(content["scene"], len(scene.cameras)),
            progress=_progress(content),
        )
    kept = content.get("hparams", content.get("hyper_parameters", {}))
    options = dict(kept) if isinstance(kept, dict) else dict(getattr(kept, "__dict__", {}))
    if options.get("optimizer") == "ranger":  # nerf_pl's own; ours starts anew
        del options["optimizer"]
    return Checkpoint(
        {**options, **_architecture(weights, path)}, None, weights, False, from_nerf_pl=True
    )


def _photo_names(scene: dict[str, Any], count: int) -> tuple[str | None, ...]:
    names = scene.get("names")
    if not isinstance(names, list) or len(names) != count:
        return ()
    return tuple(name if isinstance(name, str) else None for name in names)


def _progress(content: dict[str, Any]) -> Progress:
    """What Lightning and training.callbacks.clock keep; 0 where they do not tell."""

    def number(*keys: str) -> float:
        value: Any = content
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value if is_number(value) else 0

    return Progress(
        int(number("global_step")),
        int(number("loops", "fit_loop", "epoch_progress", "current", "processed")),
        float(number("callbacks", "TrainingClock", "seconds")),
        int(number("callbacks", "TrainingClock", "rays")),
    )


def exported_content(
    checkpoint: Checkpoint, packed: tuple[dict[str, Tensor], dict[str, Any]] | None = None
) -> dict[str, Any]:
    """What rendering needs of a checkpoint, without the state of the training.

    Args:
        packed: its weights in fewer bytes (training.packing.pack); by default they are as they are.
    """
    assert checkpoint.scene is not None
    plain, more = (checkpoint.state_dict, {}) if packed is None else packed
    content = {
        "hyper_parameters": checkpoint.options,
        "scene": checkpoint.scene.to_dict(),
        "recipe": checkpoint.recipe,
        "format_version": FORMAT_VERSION if packed is None else PACKED_VERSION,
        "state_dict": plain,
    }
    return content if packed is None else content | {"packed": more}


def write_crop(path: Path, crop: CropBox | None) -> None:
    """Change the crop in a checkpoint's description of its scene; everything else in it stays.

    Args:
        path: a checkpoint of train.py, or an exported one.
        crop: None to show all of the scene.

    Raises UserError where the file is none of these, OSError where it cannot be written.
    """
    content = _load(path)
    if not isinstance(content, dict) or not isinstance(content.get("scene"), dict):
        raise UserError(f"{path}: has no description of its scene to write a crop into")
    content["scene"] = {**content["scene"], "crop": None if crop is None else crop.to_dict()}
    with replacing(path) as temporary:
        torch.save(content, temporary)


def _load(path: Path) -> Any:
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint")
    _check_sums(path)
    stubs: list[Any] = []
    while True:
        try:
            with torch.serialization.safe_globals(
                [*stubs, (argparse.Namespace, "argparse.Namespace")]
            ):
                return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            match = _REFUSED.search(str(error))
            name = match[1] if match else None
            if name is not None and "." not in name:
                name = f"builtins.{name}"
            if name is None:
                raise UserError(f"{path}: damaged, or not a checkpoint") from error
            if not _TRAINING_STATE.fullmatch(name) or any(name == known for _, known in stubs):
                raise UserError(
                    f"{path}: holds code ({name}) and is not loaded; ask for its weights alone"
                ) from error
            stubs.append((_stub(name), name))
        except Exception as error:  # of files that were cut off, or never were a checkpoint
            raise UserError(_damaged(path)) from error


def _check_sums(path: Path) -> None:
    """Compare the parts of the file with their check sums, which torch.load does not."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if archive.testzip() is not None:
                    raise UserError(_damaged(path))
    except UserError:
        raise
    except Exception as error:  # zipfile raises some ten kinds
        raise UserError(_damaged(path)) from error


def _damaged(path: Path) -> str:
    return f"{path}: damaged (truncated?) or not a checkpoint; copy it again"


def _architecture(weights: dict[str, Tensor], path: Path) -> dict[str, Any]:
    """The options that the shapes of nerf_pl's weights tell."""
    layers = [
        weights[name]
        for i in range(1, 100)
        if (name := f"nerf_coarse.xyz_encoding_{i}.0.weight") in weights
    ]
    direction = weights.get("nerf_coarse.dir_encoding.0.weight")
    if not layers or direction is None or "nerf_coarse.sigma.weight" not in weights:
        raise UserError(f"{path}: the networks are not those of nerf_pl's NeRF (NeRF-W is not)")
    if any(weight.dim() != 2 for weight in (*layers, direction)):
        raise UserError(_damaged(path))
    width, xyz = layers[0].shape
    skips = [i for i, layer in enumerate(layers) if layer.shape[1] == width + xyz]
    return {
        "netdepth": len(layers),
        "netwidth": width,
        "netskip": skips[0] if skips else len(layers),
        "N_emb_xyz": (xyz - 3) // 6,
        "N_emb_dir": (direction.shape[1] - width - 3) // 6,
        **({} if any(n.startswith("nerf_fine.") for n in weights) else {"N_importance": 0}),
    }
