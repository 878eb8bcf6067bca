"""The viewer: cameras in closed form, the order of pictures, the command itself."""

from __future__ import annotations

import math
import signal
import socket
import subprocess
import sys
import threading
import urllib.request

import numpy as np
import pytest
import torch

from errors import UserError
from geometry.cameras import make_cameras
from tests.conftest import ROOT
from tests.helpers.commands import TINY
from tests.helpers.runs import command
from tests.scenes import circle_poses, write_blender
from viewing.cameras import Eye, axis_of, camera_of, eye_of
from viewing.loop import COARSEST, RenderLoop
from viewing.page import check_host
from viewing.pictures import normals_of


def test_a_camera_of_viser_looks_along_its_z_with_y_down():
    eye = Eye((1.0, 0.0, 0.0, 0.0), (1.0, 2.0, 3.0), math.pi / 2, 2.0)
    camera = camera_of(eye, 200)
    assert camera.size.tolist() == [[200, 100]]
    assert camera.intrinsics.tolist() == [pytest.approx([50.0, 50.0, 100.0, 50.0])]
    zero = torch.zeros(1, dtype=torch.long)
    origin, direction = camera.rays(zero, zero, zero)  # the pixel at the top left
    assert origin.tolist() == [[1.0, 2.0, 3.0]]
    expected = np.array([-99.5, -49.5, 50.0])
    assert np.allclose(direction[0].numpy(), expected / np.linalg.norm(expected), atol=1e-6)


def test_there_and_back():
    poses = np.asarray(circle_poses(5))[:, :3]
    cameras = make_cameras(poses, [(90.0, 90.0, 30.0, 40.0)] * 5, [(60, 80)] * 5)
    for index in range(5):
        eye = eye_of(cameras, index)
        back = camera_of(eye, 80)
        assert torch.allclose(back.c2w[0], cameras.c2w[index], atol=1e-5)
        assert torch.allclose(back.intrinsics[0], cameras.intrinsics[index], atol=1e-3)
        assert np.allclose(axis_of(eye), -poses[index, :, 2], atol=1e-6)


def test_normals_of_a_wall_point_at_the_camera():
    camera = camera_of(Eye((1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0), 1.0, 1.5), 24)
    height, width = 16, 24
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    x, y = x.reshape(-1), y.reshape(-1)
    _, directions = camera.rays(torch.zeros_like(x), x, y)
    depth = (2.0 / directions[:, 2]).view(height, width)  # the plane z = 2
    expected = torch.tensor([0.0, 0.0, -1.0]).expand(height, width, 3)
    assert torch.allclose(normals_of(depth, camera), expected, atol=1e-3)


def test_the_latest_view_wins_and_is_refined():
    shown: list[tuple[int, str, int]] = []
    begun, free, finished = threading.Event(), threading.Event(), threading.Event()

    def render(visitor: int, view: str, side: int) -> None:
        begun.set()
        free.wait(10)
        shown.append((visitor, view, side))
        if {(1, "last", 400), (2, "other", 400)} <= set(shown):
            finished.set()

    loop: RenderLoop[str] = RenderLoop(render, lambda error: None)
    loop.start()
    loop.want(1, "first", 400)
    assert begun.wait(10)
    for i in range(50):  # while the first is rendered
        loop.want(1, f"stale {i}", 400)
    loop.want(2, "other", 400)
    loop.want(1, "last", 400)
    free.set()
    assert finished.wait(10)
    loop.stop()
    assert shown[0] == (1, "first", COARSEST)
    assert {view for _, view, _ in shown} == {"first", "last", "other"}
    assert [side for v, view, side in shown if view == "last"] == [COARSEST, 2 * COARSEST, 400]
    assert {side for _, _, side in shown[1:3]} == {COARSEST}  # each visitor's coarse one first


def test_a_picture_that_fails_does_not_end_the_others():
    errors: list[Exception] = []
    done = threading.Event()

    def render(visitor: int, view: str, side: int) -> None:
        if view == "bad":
            raise ValueError("bad")
        done.set()

    loop: RenderLoop[str] = RenderLoop(render, errors.append)
    loop.start()
    loop.want(1, "bad", 100)
    loop.want(2, "good", 100)
    assert done.wait(10)
    loop.stop()
    assert [str(error) for error in errors] == ["bad"]


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(UserError, match=r"--host 192\.0\.2\.1: not an address"):
        check_host("192.0.2.1")


def test_the_command_serves_a_page_and_ends(tmp_path):
    write_blender(tmp_path / "ball")
    args = ("--root_dir", "ball", *TINY, "--max_steps", "2", "--exp_name", "ball")
    command(tmp_path, "train", *args)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = subprocess.Popen(
            [
                *(sys.executable, ROOT / "view.py", "--ckpt_path", "ckpts/ball/last.ckpt"),
                *("--accelerator", "cpu", "--port", str(port)),
            ],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            address = line.split()[0]
            assert address.startswith("http://127.0.0.1:")
            assert address != f"http://127.0.0.1:{port}"
            with urllib.request.urlopen(address, timeout=20) as answer:
                assert b"<html" in answer.read().lower()
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, errors) == (0, "")
