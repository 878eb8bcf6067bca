"""Exported weights: what they become, and that damage is told."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from api import load
from errors import UserError
from exporting import weights
from tests.helpers.runs import command
from tests.scenes import write_blender
from training.checkpoints import exported_content, read_checkpoint
from training.packing import pack, unpack


def test_values_come_back_within_half_a_step():
    generator = torch.Generator().manual_seed(0)
    table = torch.rand(5000, 3, generator=generator) * torch.tensor([1.0, 10.0, 0.1]) - 0.5
    cells = torch.randperm(1 << 20, generator=generator)[:4000].sort().values.int()
    weights = {
        "field.some_table": table,
        "field.cells": cells,
        "field.some_planes.0": torch.rand(40, 50, 7, generator=generator),
        "field.layer": torch.randn(64, 64, generator=generator),
        "field.few": torch.tensor([1.0, 1e9]),
        "field.huge": torch.full((2000,), 1e8),
    }
    for bits in (8, 5):
        back = unpack(*pack(weights, bits))
        step = (table.amax(dim=0) - table.amin(dim=0)) / (2**bits - 1)
        assert bool(((back["field.some_table"] - table).abs() <= 0.52 * step + 1e-6).all())
        planes = weights["field.some_planes.0"]
        assert float((back["field.some_planes.0"] - planes).abs().amax()) <= 0.52 / (2**bits - 1)
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


def export(trained: Path, path: Path, megabytes: float) -> weights.Exported:
    return weights.export_weights(load(trained, "cpu"), read_checkpoint(trained), path, megabytes)


def test_pictures_stay_and_the_file_is_small(folder: Path):
    trained = folder / "ckpts/voxels/last.ckpt"
    small, whole = folder / "small.ckpt", folder / "whole.ckpt"
    export(trained, small, 25.0)
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
    trained = folder / "ckpts/voxels/last.ckpt"
    done = [export(trained, folder / "bits.ckpt", limit) for limit in (25.0, 1e-6)]
    assert done[1].megabytes < 0.95 * done[0].megabytes
    assert done[1].alike < done[0].alike


def test_pictures_go_before_size(folder: Path, monkeypatch):
    trained, path = folder / "ckpts/voxels/last.ckpt", folder / "alike.ckpt"
    monkeypatch.setattr(weights, "LEAST_ALIKE", 0.0)
    fewest = export(trained, path, 1e-6)
    monkeypatch.setattr(weights, "LEAST_ALIKE", fewest.alike + 1e-3)
    more = export(trained, path, 1e-6)
    assert more.megabytes > fewest.megabytes
    assert more.alike > fewest.alike
    # The pictures of eight bits are not enough: half precision.
    monkeypatch.setattr(weights, "LEAST_ALIKE", 1000.0)
    half = export(trained, path, 1e-6)
    assert half.megabytes > more.megabytes
    assert read_checkpoint(path).scene is not None


@pytest.mark.parametrize("damage", ["shape", "bytes", "kind", "nothing"])
def test_damage_is_told(folder: Path, damage: str):
    checkpoint = read_checkpoint(folder / "ckpts/voxels/last.ckpt")
    path = folder / "damaged.ckpt"
    content = exported_content(checkpoint, pack(checkpoint.state_dict, 8))
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
