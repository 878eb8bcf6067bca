"""Exported weights: what they become, and that damage is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from api import load
from errors import UserError
from tests.helpers.runs import command
from tests.scenes import write_blender
from training.checkpoints import export_weights, read_checkpoint
from training.packing import pack, unpack


def test_values_come_back_within_half_a_step():
    generator = torch.Generator().manual_seed(0)
    table = torch.rand(5000, 3, generator=generator) * torch.tensor([1.0, 10.0, 0.1]) - 0.5
    cells = torch.randperm(1 << 20, generator=generator)[:4000].sort().values.int()
    weights = {
        "field.some_table": table,
        "field.cells": cells,
        "field.layer": torch.randn(64, 64, generator=generator),
        "field.few": torch.tensor([1.0, 1e9]),
        "field.huge": torch.full((2000,), 1e8),
    }
    for bits in (8, 5):
        back = unpack(*pack(weights, bits))
        step = (table.amax(dim=0) - table.amin(dim=0)) / (2**bits - 1)
        assert bool(((back["field.some_table"] - table).abs() <= 0.52 * step + 1e-6).all())
        assert torch.equal(back["field.cells"], cells)
        assert back["field.cells"].dtype == torch.int32
        torch.testing.assert_close(
            back["field.layer"], weights["field.layer"], rtol=1e-3, atol=1e-6
        )
        for name in ("field.few", "field.huge"):
            assert torch.equal(back[name], weights[name])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    write_blender(folder / "ball", size=64)
    words = (
        "--model",
        "voxels",
        "--max_steps",
        "150",
        "--resolution",
        "64",
        "--accelerator",
        "cpu",
    )
    command(folder, "train", "--root_dir", "ball", "--exp_name", "voxels", *words)
    return folder


def test_pictures_stay_and_the_file_is_small(folder: Path):
    trained = folder / "ckpts/voxels/last.ckpt"
    small, whole = folder / "small.ckpt", folder / "whole.ckpt"
    checkpoint = read_checkpoint(trained)
    export_weights(checkpoint, small, 25.0)
    command(
        *(folder, "eval", "--ckpt_path", str(trained)),
        *("--export_weights", str(whole), "--export_mb", "0"),
    )
    assert small.stat().st_size < 0.5 * whole.stat().st_size
    images = [load(path, "cpu") for path in (trained, whole, small)]
    first, same, near = (model.render(model.scene.cameras[0]).rgb for model in images)
    assert torch.equal(first, same)
    assert -10 * float(torch.log10((first - near).square().mean())) > 45


def test_a_limit_takes_bits(folder: Path):
    checkpoint = read_checkpoint(folder / "ckpts/voxels/last.ckpt")
    sizes = [export_weights(checkpoint, folder / "bits.ckpt", limit) for limit in (25.0, 1e-6)]
    assert sizes[1] < 0.9 * sizes[0]


@pytest.mark.parametrize("damage", ["shape", "bytes", "kind", "nothing"])
def test_damage_is_told(folder: Path, damage: str):
    checkpoint = read_checkpoint(folder / "ckpts/voxels/last.ckpt")
    path = folder / "damaged.ckpt"
    export_weights(replace(checkpoint), path, 25.0)
    content = torch.load(path, weights_only=True)
    table = content["packed"]["nerf_coarse.density_table"]
    if damage == "shape":
        table["shape"] = [1 << 40, 1]
    elif damage == "bytes":
        table["bytes"] = table["bytes"][:50]
    elif damage == "kind":
        del table["kind"]
    else:
        content["packed"] = None
    torch.save(content, path)
    with pytest.raises(UserError, match=r"damaged\.ckpt"):
        read_checkpoint(path)
