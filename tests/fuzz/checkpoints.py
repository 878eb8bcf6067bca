"""Small checkpoints of each kind, and damage to what they hold."""

from __future__ import annotations

import contextlib
import io
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.fuzz.mutate import mutate_array, mutate_bytes, mutate_value
from tests.scenes import write_blender


def checkpoint(root: Path) -> None:
    """What training leaves, with a network of two numbers."""
    from datasets import load_scene
    from datasets.config import SceneConfig

    write_blender(root / "ball", size=8, train=3, val=1, test=1)
    scene = load_scene(SceneConfig(root_dir=str(root / "ball")))
    content = {
        "state_dict": {"nerf_coarse.sigma.weight": torch.ones(1, 2)},
        "scene": scene.to_dict(),
        "hyper_parameters": {"model": "nerf", "dataset_name": "blender", "lr": 5e-4},
        "recipe": {"a": 1},
        "format_version": 2,
    }
    torch.save(content, root / "last.ckpt")
    shutil.rmtree(root / "ball")


def nerf_pl(root: Path) -> None:
    names = ("xyz_encoding_1.0", "dir_encoding.0", "sigma")
    shapes = ((16, 63), (8, 43), (1, 16))
    state = {
        f"nerf_coarse.{name}.weight": torch.zeros(shape)
        for name, shape in zip(names, shapes, strict=True)
    }
    torch.save({"state_dict": state, "hparams": {"N_samples": 64}}, root / "old.ckpt")


def exported(root: Path, model: str = "nerf", crop: Any = None, **options: Any) -> None:
    """What --export_weights writes of a network of some dozen numbers."""
    from dataclasses import asdict, replace

    from cli import to_dict
    from datasets import load_scene
    from datasets.config import SceneConfig
    from models import find_model
    from models.spec import SceneInfo
    from opt import TrainOptions, from_dict
    from training.checkpoints import FORMAT_VERSION, write_crop

    write_blender(root / "ball", size=8, train=3, val=1, test=1)
    scene = load_scene(SceneConfig(root_dir=str(root / "ball")))
    shutil.rmtree(root / "ball")
    trained = from_dict(TrainOptions, {"model": model, "root_dir": "ball", **options})
    assert scene.region is not None
    info = SceneInfo(scene.region, scene.background, scene.foreground_only)
    spec = find_model(model)
    recipe = spec.make_recipe(trained.config, info)
    if hasattr(recipe, "occupancy_resolution"):
        recipe = replace(recipe, occupancy_resolution=4)
    fields = spec.build_fields(trained.config, info, recipe)
    state = {
        f"{name}.{key}": value
        for name, field in fields.items()
        for key, value in field.state_dict().items()
    }
    content = {
        **{"state_dict": state, "scene": scene.to_dict(), "recipe": asdict(recipe)},
        **{"hyper_parameters": to_dict(trained), "format_version": FORMAT_VERSION},
    }
    torch.save(content, root / "weights.ckpt")
    if crop is not None:
        write_crop(root / "weights.ckpt", crop)


def exported_nerf(root: Path) -> None:
    small: dict[str, Any] = {
        "netdepth": 2,
        "netwidth": 8,
        "netskip": 1,
        "N_emb_xyz": 2,
        "N_emb_dir": 1,
    }
    from geometry.crop import CropBox

    crop = CropBox((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    exported(root, crop=crop, N_samples=4, N_importance=4, **small)


def exported_tensorf(root: Path) -> None:
    """With an occupancy grid."""
    exported(root, "tensorf", resolution=16, sampler="occupancy")


def exported_voxels(root: Path) -> None:
    exported(root, "voxels", resolution=16)


def packed(root: Path) -> None:
    """The same in fewer bytes, cropped."""
    from geometry.crop import CropBox
    from training.checkpoints import exported_content, read_checkpoint, write_crop
    from training.packing import MOST_BITS, pack

    exported_voxels(root)
    path = root / "weights.ckpt"
    whole = read_checkpoint(path)
    torch.save(exported_content(whole, pack(whole.state_dict, MOST_BITS)), path)
    write_crop(path, CropBox((0.0, 0.1, 0.0), (1.0, 0.5, 1.0)))


def mutate_checkpoint(content: bytes, rng: random.Random) -> bytes:
    """Bytes, or other values in a sound file; or a tensor of other values, shape or type."""
    kind = rng.random()
    if kind < 0.4:
        return mutate_bytes(content, rng)
    values = torch.load(io.BytesIO(content), weights_only=True)
    if kind < 0.8:
        values = mutate_value(values, rng)
    else:
        holder, key = rng.choice(list(_tensors(values)))
        other = mutate_array(holder[key].numpy(), rng)
        with contextlib.suppress(TypeError, ValueError):  # numpy has more types
            holder[key] = torch.from_numpy(np.ascontiguousarray(other))
    result = io.BytesIO()
    torch.save(values, result)
    return result.getvalue()


def _tensors(values: Any) -> Iterator[tuple[Any, Any]]:
    """Where tensors lie in nested values: their list or dict, and the key there."""
    if isinstance(values, dict | list):
        for key in values if isinstance(values, dict) else range(len(values)):
            if isinstance(values[key], torch.Tensor):
                yield values, key
            else:
                yield from _tensors(values[key])
