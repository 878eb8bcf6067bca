"""export.py --mesh and --points on a small trained scene, and what users get wrong."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

from api import load
from errors import UserError
from exporting.mesh.export import export_surface
from tests.conftest import ROOT
from tests.exporting.web.fields import scene_of
from tests.helpers.runs import command
from tests.scenes import write_blender

CKPT = ("--ckpt_path", "ckpts/ball/last.ckpt", "--accelerator", "cpu")


def read_file(path: Path) -> Any:
    return trimesh.load(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("mesh")
    write_blender(folder / "ball", train=12)
    run = ("--max_steps", "200", "--model", "voxels", "--resolution", "32", "--val_rays", "64")
    common = ("--root_dir", "ball", "--accelerator", "cpu", "--exp_name", "ball")
    command(folder, "train", *common, *run)
    return folder


def test_a_ball_leaves_as_a_mesh_and_as_points(folder):
    files = ("--mesh", "out/ball.ply", "--points", "out/points.ply")
    printed = command(folder, "export", *CKPT, *files, "--watertight", "--faces", "1500")
    assert "out/ball.ply" in printed
    assert "watertight" in printed
    mesh, points = read_file(folder / "out/ball.ply"), read_file(folder / "out/points.ply")
    assert mesh.is_watertight
    assert 100 < len(mesh.faces) <= 1500
    # A unit ball around the origin, of photos of 24 pixels; its underside is in none of them.
    for vertices in (mesh.vertices, points.vertices):
        above = vertices[vertices[:, 2] > 0]
        assert np.abs(np.linalg.norm(above, axis=1) - 1).mean() < 0.15
    assert len(points.colors) == len(points.vertices) > 100


def test_the_coordinates_are_the_inputs(folder):
    model = load(folder / "ckpts/ball/last.ckpt", "cpu")
    to_input = np.diag([3.0, 3.0, 3.0, 1.0])
    to_input[:3, 3] = 5, 6, 7
    model = replace(model, scene=replace(model.scene, to_input=to_input))
    export_surface(model, folder / "moved.stl", None, 1000, watertight=False)
    model = replace(model, scene=replace(model.scene, to_input=None))
    export_surface(model, folder / "here.stl", None, 1000, watertight=False)
    moved, here = (read_file(folder / name).bounds for name in ("moved.stl", "here.stl"))
    np.testing.assert_allclose(moved, 3 * here + [5, 6, 7], atol=1e-4)


@pytest.mark.parametrize(
    ("args", "line"),
    [
        ((), "say what to write"),
        (("--mesh", "ball.fbx"), "--mesh ball.fbx: the file's name ends in .glb"),
        (("--points", "ball.glb"), "--points ball.glb: the file's name ends in .ply"),
        (("--mesh", "ball.glb", "--faces", "3"), "--faces must be at least 100"),
    ],
)
def test_wrong_options_are_told(folder, args, line):
    with pytest.raises(UserError, match=line):
        command(folder, "export", *CKPT, *args)


def test_a_folder_in_the_way_is_told(folder):
    (folder / "taken.glb").mkdir()
    with pytest.raises(UserError, match="this is a folder"):
        command(folder, "export", *CKPT, "--mesh", "taken.glb")
    (folder / "file").touch()
    with pytest.raises(OSError, match="file"):  # errors.explain tells it
        command(folder, "export", *CKPT, "--mesh", "file/ball.glb")


def test_scenes_without_a_surface_are_told(folder):
    model = load(folder / "ckpts/ball/last.ckpt", "cpu")
    nothing = folder / "nothing.glb"
    with pytest.raises(UserError, match="forward-facing"):
        export_surface(replace(model, scene=scene_of("ndc")), nothing, None, 1000, False)
    model.fields["nerf_coarse"].density_table.data.fill_(-20.0)
    with pytest.raises(UserError, match="nothing in it"):
        export_surface(model, nothing, None, 1000, False)
    assert not nothing.exists()


def test_libraries_of_meshes_are_imported_for_meshes_alone():
    code = "import sys, export; print(sorted({'trimesh', 'skimage'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
