"""The 2D neural image: its network, its positions, and the whole command."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import imageio.v2 as imageio
import numpy as np
import pytest
import torch
from PIL import Image

import fit_image
from cli import to_dict
from errors import UserError, run_command
from evaluation.metrics import psnr
from learn.image2d.cell import Cell
from learn.image2d.fit import paint_again
from learn.image2d.grid import FeatureGrid
from learn.image2d.networks import ImageGrid, ImageMLP, image_models, paint
from learn.image2d.options import FitOptions
from learn.image2d.photo import RandomPixels, pixel_positions, read_image
from learn.image2d.sweep import combinations, take_result


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    y, x = np.mgrid[:40, :56] / 40
    rgb = np.stack([x / 1.4, y, 0.5 + 0.5 * np.sin(9 * x) * np.cos(7 * y)], axis=-1)
    Image.fromarray((255 * rgb).astype(np.uint8)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command in this process; returns its exit code, output and errors."""

    def call(*words: object) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["fit_image.py", *map(str, words)])
        code: object = 0
        try:
            run_command(fit_image.main)
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return call


def test_positions_are_pixel_centres():
    xy = pixel_positions(torch.arange(6), width=3, height=2)
    expected = [
        [1 / 6, 0.25],
        [0.5, 0.25],
        [5 / 6, 0.25],
        [1 / 6, 0.75],
        [0.5, 0.75],
        [5 / 6, 0.75],
    ]
    torch.testing.assert_close(xy, torch.tensor(expected))


def test_batches_hold_the_colour_of_their_position():
    image = torch.randint(256, (7, 5, 3), dtype=torch.uint8)
    batch = next(iter(RandomPixels(image, 100, seed=3)))
    x, y = (batch.xy * torch.tensor([5, 7])).long().unbind(-1)
    torch.testing.assert_close(batch.rgb, image[y, x] / 255)
    again = next(iter(RandomPixels(image, 100, seed=3)))
    assert torch.equal(again.xy, batch.xy)


def test_network_counts_its_parameters():
    # 2 (2 L + 1) inputs, three layers of 256, three colours.
    network = ImageMLP(num_layers=3, width=256, L=10)
    linear = [(42, 256), (256, 256), (256, 256), (256, 3)]
    assert sum(p.numel() for p in network.parameters()) == sum(i * o + o for i, o in linear)
    assert ImageMLP(2, 8, L=0)(torch.rand(4, 2)).shape == (4, 3)


def test_grid_interpolates_bilinearly():
    grid = FeatureGrid(24, 16, channels=1, coarsest=8)
    # One level's table holds a function that is bilinear in each cell; between nodes it is exact.
    for level, (cells, offset) in enumerate(zip(grid.cells.tolist(), grid.offsets, strict=True)):
        x, y = (torch.linspace(0, 1, n + 1) for n in cells)
        rows = (2 * x[None, :] + 3 * y[:, None] + x[None, :] * y[:, None]).reshape(-1, 1)
        with torch.no_grad():
            grid.table[offset : offset + len(rows)] = rows
        node_x = torch.rand(50, generator=torch.Generator().manual_seed(level))
        edge = torch.stack([node_x, torch.ones(50)], dim=-1)  # y = 1, the last row of nodes
        torch.testing.assert_close(grid(edge)[:, level], 3 * node_x + 3)


def test_grid_gradient_is_that_of_plain_indexing():
    torch.manual_seed(0)
    grid = FeatureGrid(24, 16, channels=2)
    xy, seed = torch.rand(64, 2), torch.randn(64, grid.out_channels)
    (grid(xy) * seed).sum().backward()
    twin = grid.table.detach().clone().requires_grad_()
    features = []
    for (nx, ny), offset in zip(grid.cells.tolist(), grid.offsets.tolist(), strict=True):
        level = twin[offset : offset + (nx + 1) * (ny + 1)].view(1, ny + 1, nx + 1, 2)
        features.append(
            torch.nn.functional.grid_sample(
                level.permute(0, 3, 1, 2), xy[None, None] * 2 - 1, align_corners=True
            )[0, :, 0].T
        )
    expected = torch.cat(features, dim=-1)
    torch.testing.assert_close(grid(xy), expected)
    (expected * seed).sum().backward()
    torch.testing.assert_close(grid.table.grad, twin.grad)


def test_painting_has_any_resolution_and_the_network_s_colours():
    network = ImageGrid(12, 8)
    image = paint(network, 30, 20, chunk=7)
    assert image.shape == (20, 30, 3)
    rgb = network(torch.tensor([[3.5 / 30, 11.5 / 20]]))[0]
    assert image[11, 3].tolist() == (rgb * 255 + 0.5).long().tolist()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F"])
def test_any_mode_is_read(tmp_path: Path, mode: str):
    grey = np.tile(np.arange(0, 256, 8, dtype=np.uint8), (6, 1))
    if mode == "I;16":
        image = Image.fromarray(grey.astype(np.uint16) * 257)
    elif mode == "F":
        image = Image.fromarray(grey.astype(np.float32) / 255)
    else:
        image = Image.fromarray(grey).convert(mode)
    image.save(tmp_path / "photo.tif")
    read = read_image(tmp_path / "photo.tif").numpy()
    assert read.shape == (6, 32, 3)
    expected = 255 * (grey > 127) if mode == "1" else grey
    if mode != "1":
        assert np.abs(read.astype(int) - expected[..., None].astype(int)).max() <= 2
    else:
        assert set(np.unique(read)) <= {0, 255}


def test_photo_is_upright_on_white_and_reduced(tmp_path: Path):
    clear = np.zeros((20, 40, 4), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    Image.fromarray(clear).save(tmp_path / "photo.png", exif=exif)
    read = read_image(tmp_path / "photo.png", max_size=20)
    assert read.shape == (20, 10, 3)
    assert int(read.min()) == 255


def test_sweep_makes_every_combination():
    options = FitOptions(image="a.png", sweep=("lr=1e-2,1e-3", "L=0,4,10"))
    axes, cells = combinations(options, Path("out"))
    assert axes == ["lr", "L"]
    assert [c.values for c in cells][:4] == [(0.01, 0), (0.01, 4), (0.01, 10), (0.001, 0)]
    assert len({c.folder for c in cells}) == 6


@pytest.mark.parametrize(
    "words", [["lr"], ["lr=x"], ["lr=-1"], ["colour=3"], ["L=1", "L=2"], ["num_layers=0"]]
)
def test_sweep_refuses_nonsense(words: list[str]):
    with pytest.raises(UserError):
        combinations(FitOptions(image="a.png", sweep=tuple(words)), Path("out"))


def test_command_learns_the_image_and_writes_everything(run, photo: Path, tmp_path: Path):
    out = tmp_path / "out"
    code, _, errors = run(
        "--image", photo, "--out_dir", out, "--width", 64, "--batch_size", 1000, "--iterations",
        150, "--snapshots", 0, 50, "--render_scale", 2, "--gif_frames", 5,
    )  # fmt: skip
    assert code == 0, errors
    metrics = json.loads((out / "metrics.json").read_text())
    original, learnt = (np.asarray(Image.open(p)) for p in (photo, out / "reconstruction.png"))
    assert metrics["psnr"] == pytest.approx(psnr(learnt, original), abs=1e-3)
    assert metrics["psnr"] > 25
    assert [s["iteration"] for s in metrics["snapshots"]] == [0, 50, 150]
    assert Image.open(out / "scaled_2.png").size == (112, 80)
    assert imageio.mimread(out / "forming.gif")[4:]
    assert Image.open(out / "strip.png").width > Image.open(out / "strip.png").height
    assert (out / "curves.png").stat().st_size > 1000
    assert list(out.glob("logs/version_0/events.out.tfevents.*"))
    code, _, errors = run("--image", photo, "--ckpt_path", out / "network.pt", "--out_dir", out)
    assert code == 0, errors
    assert np.array_equal(np.asarray(Image.open(out / "scaled_1.png")), learnt)


@pytest.mark.parametrize(
    "damage",
    [
        {"size": [56, "x"]},
        {"size": [-56, -40]},
        {"size": [2**31, 2**31]},
        {"options": {"width": 10**9}},
        {"options": {"num_layers": 10**9}},
        {"weights": "complex"},
    ],
    ids=str,
)
def test_a_damaged_network_is_refused(photo: Path, tmp_path: Path, damage: dict[str, Any]) -> None:
    small = FitOptions(str(photo), width=4, num_layers=1, out_dir=str(tmp_path))
    network = image_models["mlp"](small, 56, 40)
    content: dict[str, Any] = {
        "options": to_dict(small),
        "size": [56, 40],
        "weights": network.state_dict(),
    }
    torch.save(content, tmp_path / "network.pt")
    again = replace(small, ckpt_path=str(tmp_path / "network.pt"))
    paint_again(again)
    name, weight = next(iter(content["weights"].items()))
    mixed = {**content["weights"], name: weight.half()}
    torch.save({**content, "weights": mixed}, tmp_path / "network.pt")
    paint_again(again)
    if "weights" in damage:
        damage = {"weights": {**content["weights"], name: weight.cfloat()}}
    options = {**content["options"], **damage.get("options", {})}
    torch.save({**content, **damage, "options": options}, tmp_path / "network.pt")
    with pytest.raises(UserError, match=r"network\.pt: not a network\.pt that"):
        paint_again(again)


def test_sweep_goes_on_after_a_failure_and_resumes(run, photo: Path, tmp_path: Path):
    words = (
        "--image", photo, "--out_dir", tmp_path / "out", "--width", 16, "--batch_size", 200,
        "--iterations", 20, "--gif_frames", 0, "--jobs", 2, "--sweep", "lr=1e-2,1e30",
    )  # fmt: skip
    code, _, errors = run(*words)
    assert code == 2
    assert "1 of 2 fits failed" in errors
    assert "not a number" in errors
    sheet = tmp_path / "out/sweep/contact_sheet.png"
    assert sheet.exists()
    done = tmp_path / "out/sweep/lr=0.01/metrics.json"
    stamp = done.stat().st_mtime_ns
    assert "1 already done" in run(*words)[1]
    assert done.stat().st_mtime_ns == stamp
    # What is damaged is not taken.
    metrics = json.loads(done.read_text())
    kept = metrics["options"].items()
    options: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in kept}
    cell = Cell((0.01,), FitOptions(**options))
    take_result(cell)
    assert cell.state == "done"
    for damage in ({"psnr": "much"}, {"curve": {"iteration": [1], "psnr": []}}):
        done.write_text(json.dumps(metrics | damage))
        cell.metrics = None
        take_result(cell)
        assert cell.metrics is None


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--image", "nowhere.png"], "no such image"),
        (["--image", __file__], "not a readable image"),
        (["--image", __file__, "--lr", "0"], "--lr must be positive"),
    ],
)
def test_mistakes_are_told_in_one_line(run, words: list[str], told: str, tmp_path: Path):
    code, _, errors = run(*words, "--out_dir", tmp_path / "out")
    assert code == 2
    assert told in errors
    assert len(errors.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
