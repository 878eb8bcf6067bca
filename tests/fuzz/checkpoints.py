"""Small checkpoints of each kind, and damage to what they hold."""

from __future__ import annotations

import io
import random
import shutil
from pathlib import Path
from typing import Any

import torch

from tests.fuzz.mutate import mutate_bytes, mutate_value
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


def exported(root: Path, model: str = "nerf", **options: Any) -> None:
    """What --export_weights writes of a network of some dozen numbers."""
    from dataclasses import asdict

    from cli import to_dict
    from datasets import load_scene
    from datasets.config import SceneConfig
    from models import find_model
    from models.spec import SceneInfo
    from opt import TrainOptions, from_dict
    from training.checkpoints import FORMAT_VERSION

    write_blender(root / "ball", size=8, train=3, val=1, test=1)
    scene = load_scene(SceneConfig(root_dir=str(root / "ball")))
    shutil.rmtree(root / "ball")
    trained = from_dict(TrainOptions, {"model": model, "root_dir": "ball", **options})
    assert scene.region is not None
    info = SceneInfo(scene.region, scene.background, scene.foreground_only)
    spec = find_model(model)
    recipe = spec.make_recipe(trained.config, info)
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


def exported_nerf(root: Path) -> None:
    small: dict[str, Any] = {
        "netdepth": 2,
        "netwidth": 8,
        "netskip": 1,
        "N_emb_xyz": 2,
        "N_emb_dir": 1,
    }
    exported(root, N_samples=4, N_importance=4, **small)


def exported_voxels(root: Path) -> None:
    exported(root, "voxels", resolution=16)


def mutate_checkpoint(content: bytes, rng: random.Random) -> bytes:
    """Bytes, or other values in a sound file."""
    if rng.random() < 0.4:
        return mutate_bytes(content, rng)
    values = torch.load(io.BytesIO(content), weights_only=True)
    result = io.BytesIO()
    torch.save(mutate_value(values, rng), result)
    return result.getvalue()
