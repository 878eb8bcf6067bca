"""The notebook of the class project makes every figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.helpers.notebooks import TINY, execute, project_zip
from tests.scenes import write_npz


def test_every_figure_of_the_class_project_is_made(tmp_path: Path):
    write_npz(tmp_path / "ball.npz", size=16)
    small = "--batch_size 64 --N_samples 8 --netwidth 16 --netdepth 2 --snapshots 0 2"
    settings: dict[str, Any] = {
        "PROJECT": project_zip(tmp_path / "nerf.zip").name,
        "SCENE": "ball.npz",
        "ITERATIONS": 2,
        "STEPS": 5,
        "SWEEPS": ["num_layers=2"],
        "FIT_FLAGS": "--width 8 --batch_size 100 --gif_frames 2 --snapshots 0 1 --accelerator cpu",
        "TRAIN_FLAGS": f"{TINY.format(5)} {small}",
    }
    ran = execute("class_project", tmp_path, **settings)
    results = tmp_path / "nerf/results/class"
    for name in ("image/strip.png", "num_layers/sweep/contact_sheet.png", "rays/top_left.png"):
        assert (results / name).is_file()
    # The 2D network 2, its sweep 3, the second photo 2, rays 4, the strip.
    assert ran.count("image/png") == 12
    assert ran.count("image/gif") == 3
    assert "novel_views.gif" in ran.text
    assert "depth_ramp.gif" in ran.text
    assert "5 steps in" in ran.text
    assert "<iframe srcdoc" in ran.html
