"""Diagrams show the modules' own shapes."""

from __future__ import annotations

import sys
from pathlib import Path

import plot_model
from learn.figures.networks import nerf_network
from models.nerf.network import NeRF


def test_boxes_follow_the_module():
    texts = [box.text for box in nerf_network(NeRF(D=3, W=32, N_emb_xyz=2, skip=1))]
    assert [t for t in texts if "ReLU" in t][:3] == [
        "linear\n15 → 32\nReLU",
        "linear\n47 → 32\nReLU",
        "linear\n32 → 32\nReLU",
    ]
    assert "linear\n59 → 16\nReLU" in texts


def test_files_are_written(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["plot_model.py", "--out_dir", str(tmp_path)])
    plot_model.main()
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        f"network_{n}.{e}" for n in ("image2d", "nerf", "voxels") for e in ("svg", "png")
    }
    assert "319 → 256" in (tmp_path / "network_nerf.svg").read_text()
    assert "8 corners → 8" in (tmp_path / "network_voxels.svg").read_text()
