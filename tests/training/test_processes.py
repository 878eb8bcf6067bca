"""Two processes do what one does: steps, means, pictures; and end together."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from datasets.loaders.ray_loader import RayLoader
from errors import UserError
from geometry.rays import Bounds
from tests.conftest import ROOT
from tests.helpers.commands import run, weights
from tests.helpers.photos import two_photos
from tests.helpers.runs import val_psnr
from tests.scenes import write_blender
from training.checkpoint_files import SharedCheckpoints
from training.distributed.launch import launch
from training.distributed.processes import average_gradients, local_world_size, rank, world_size

TINY = [
    *("--netdepth", "2", "--netwidth", "16", "--netskip", "1", "--N_samples", "8"),
    *("--N_importance", "8", "--val_rays", "64", "--noise_std", "0", "--perturb", "0"),
    *("--accelerator", "cpu", "--root_dir", "ball"),
]
# An epoch of 10 steps, whose last batch is smaller than one process's; three views for two.
STEPS = [*TINY, "--val_views", "3", "--max_steps", "12", "--val_every_steps", "10"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A scene; a run by one process, and one by two with half its batch each."""
    folder = tmp_path_factory.mktemp("work")
    write_blender(folder / "ball", val=3, test=3)
    alone = run(folder, "train.py", *STEPS, "--batch_size", "500", "--exp_name", "one")
    two = ("--batch_size", "250", "--num_gpus", "2", "--exp_name", "two")
    output = run(folder, "train.py", *STEPS, *two)
    assert output.stdout.count("10 steps an epoch, on 2 CPU") == 1, output.stdout
    assert output.stdout.count("12 steps in") == 1
    # The whole split is measured by both together.
    assert "over all 3 views" in output.stdout
    assert val_psnr(output.stdout) == pytest.approx(val_psnr(alone.stdout), abs=0.02)
    return folder


def test_two_processes_take_the_steps_of_one(folder):
    one, two = (weights(folder / f"ckpts/{name}/last.ckpt") for name in ("one", "two"))
    assert one.keys() == two.keys()
    for key in one:
        torch.testing.assert_close(one[key], two[key], rtol=1e-4, atol=1e-4)


def test_validation_is_the_mean_over_all_views(folder):
    runs = []
    for name in ("one", "two"):
        events = EventAccumulator(str(folder / f"logs/{name}/version_0"))
        events.Reload()
        tags = ("val/loss", "val/psnr", "val/psnr_pixels")
        runs.append([(e.step, e.value) for tag in tags for e in events.Scalars(tag)])
        pictures = events.Images("val/GT_pred_depth")
        assert sorted({picture.step for picture in pictures}) == [0, 10, 12]
    assert [step for step, _ in runs[0]] == [step for step, _ in runs[1]]
    assert [v for _, v in runs[0]] == pytest.approx([v for _, v in runs[1]], rel=1e-4)


def test_one_set_of_files_is_written(folder):
    for top in ("ckpts", "logs"):
        one, two = (
            sorted(
                path.name
                for path in (folder / top / name).rglob("*")
                if "tfevents" not in path.name
            )
            for name in ("one", "two")
        )
        assert one == two


def test_evaluation_by_two_processes_is_that_of_one(folder):
    args = ("--ckpt_path", "ckpts/one/last.ckpt", "--accelerator", "cpu", "--save_depth")
    run(folder, "eval.py", *args, "--split", "path", "--n_frames", "3", "--out_dir", "planned")
    for by, gpus in (("by_one", "1"), ("by_two", "2")):
        common = (*args, "--out_dir", by, "--num_gpus", gpus)
        output = run(folder, "eval.py", *common, "--split", "test").stdout
        assert output.count("mean over 3 views") == 1
        run(folder, "eval.py", *common, "--path", "planned/path/path.json")
    names, theirs = (
        sorted(str(path.relative_to(folder / by)) for path in (folder / by).rglob("*"))
        for by in ("by_one", "by_two")
    )
    assert names == theirs
    wanted = {"test/000.png", "test/002.png", "test/depth_001.pfm", "path/ball.gif"}
    assert wanted | {"path/000.png", "path/ball_depth.gif"} <= set(names)
    for name in names:
        if name == "path/path.png":
            continue  # tells what the field leaves free, where looking is quick: a matter of time
        if Path(name).suffix in (".png", ".pfm", ".gif"):
            one, two = ((folder / by / name).read_bytes() for by in ("by_one", "by_two"))
            assert one == two, name
    reports = [
        json.loads((folder / by / "test/metrics.json").read_text()) for by in ("by_one", "by_two")
    ]
    for report in reports:
        del report["seconds_per_frame"], report["command"]
    assert reports[0] == reports[1]


def start_slurm_tasks(folder: Path, *args: str) -> list[subprocess.Popen[str]]:
    """train.py as srun starts two tasks on one machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = os.environ | {
        **{"SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "nerf", "SLURM_NNODES": "1", "SLURM_NODEID": "0"},
        **{"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_NODELIST": "127.0.0.1"},
        "MASTER_PORT": str(port),
    }
    return [
        subprocess.Popen(
            [sys.executable, ROOT / "train.py", *args],
            cwd=folder,
            env=common | {"SLURM_PROCID": str(i), "SLURM_LOCALID": str(i)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(2)
    ]


def test_slurm_tasks_stop_together_when_one_is_told_to(folder):
    args = [*TINY, "--batch_size", "250", "--exp_name", "slurm", "--val_every_steps", "5"]
    tasks = start_slurm_tasks(folder, *args, "--max_steps", "1000000")
    checkpoints = folder / "ckpts/slurm"
    for _ in range(600):
        if list(checkpoints.glob("*step=10.ckpt")) or any(t.poll() is not None for t in tasks):
            break
        time.sleep(0.1)
    tasks[1].send_signal(signal.SIGTERM)
    outputs = [task.communicate(timeout=60) for task in tasks]
    assert [task.returncode for task in tasks] == [130, 130], outputs
    assert "go on with: python train.py --ckpt_path ckpts/slurm/last.ckpt" in outputs[0][0]
    assert outputs[1][0] == ""
    assert (checkpoints / "last.ckpt").is_file()


def test_a_mistake_is_told_once(folder):
    tasks = start_slurm_tasks(folder, *TINY, "--root_dir", "nowhere")
    outputs = [task.communicate(timeout=60) for task in tasks]
    assert [task.returncode for task in tasks] == [2, 2]
    assert "nowhere: no such folder" in outputs[0][1]
    assert len(outputs[0][1].splitlines()) == 1
    assert outputs[1] == ("", "")
    output = run(folder, "train.py", *TINY, "--root_dir", "nowhere", "--num_gpus", "2", code=2)
    assert output.stderr.count("nowhere: no such folder") == 1
    assert len(output.stderr.splitlines()) == 1


SCRIPT = """
import sys
sys.path.insert(0, {root!r})
import torch
from torch.nn import Parameter
from errors import UserError, run_command
from training.checkpoint_files import SharedCheckpoints
from training.distributed.launch import launch
from training.distributed.processes import *

def sparse(rows, value):
    values = torch.full((len(rows), 3), value)
    return torch.sparse_coo_tensor(torch.tensor([rows]), values, (6, 3))

def main():
    launch(2)
    connect_processes()
    first = is_main_process()
    a, b, c, d, e, nobody = (Parameter(torch.zeros(6, 3)) for _ in range(6))
    a.grad = torch.full((6, 3), float(rank()))               # 0 and 1
    if first:
        b.grad = torch.ones(6, 3)                            # 1 and none
        d.grad = sparse([5], 8.0)                            # sparse and none
    c.grad = sparse([0, 0, 2], 2.0) if first else sparse([2], 4.0)
    e.grad = sparse([1], 2.0) if first else torch.ones(6, 3)
    average_gradients([a, b, c, d, e, nobody])
    assert nobody.grad is None and not a.grad.is_sparse
    assert c.grad.is_sparse and c.grad._nnz() == 2 and d.grad._nnz() == 1
    found = [p.grad.to_dense()[:, 0].tolist() for p in (a, b, c, d, e)]
    assert found == [
        [0.5] * 6, [0.5] * 6, [2, 0, 3, 0, 0, 0], [0, 0, 0, 0, 0, 4], [0.5, 1.5, .5, .5, .5, .5]
    ], found

    a = Parameter(torch.zeros(2)); a.grad = torch.full((2,), 2.0 * rank())  # of another shape
    average_gradients([a])
    assert a.grad.tolist() == [1, 1]
    try:
        average_gradients([Parameter(torch.zeros(2 + rank()))])
    except RuntimeError as error:
        assert "different sizes" in str(error)
    else:
        raise AssertionError

    assert any_process(first, False, not first) == (True, False, True)
    assert broadcast_from_rank0("a" if first else "b") == "a"
    assert all_gather(rank()) == [0, 1]
    assert gather_to_main(rank()) == ([0, 1] if first else [])
    print("agreed", flush=True)
    if not first:
        raise UserError("the second process has no memory left")
    all_gather(0)  # would wait for ever

run_command(main, should_report)
"""


def test_processes_agree_and_one_that_fails_ends_all(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(root=str(ROOT)))
    process = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert process.returncode == 2, process.stderr
    assert process.stdout.count("agreed") == 2
    assert process.stderr.count("script.py: the second process has no memory left") == 1
    assert "Traceback" not in process.stderr


KILLED = """
import os, sys, time
sys.path.insert(0, {root!r})
from errors import run_command
from training.distributed import launch as launching
from training.distributed.processes import *

launching._GRACE = 1.0

def main():
    launching.launch(2)
    if {early} and rank() == 1:
        os.kill(os.getpid(), 9)
    if {early}:
        time.sleep(100)  # it waits for the other
    connect_processes()
    all_gather(0)
    if rank() == 1:
        os.kill(os.getpid(), 9)
    all_gather(0)

run_command(main, should_report)
"""


@pytest.mark.parametrize("early", [True, False])
def test_a_killed_process_ends_all_in_one_line(tmp_path, early):
    script = tmp_path / "script.py"
    script.write_text(KILLED.format(root=str(ROOT), early=early))
    process = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    # Of the one that was killed, or of the one that has lost it.
    assert process.returncode in ((137,) if early else (137, 2))
    assert process.stderr.count("another process of this run has ended") == (not early)
    assert len(process.stderr.splitlines()) == (not early), process.stderr


def test_the_other_processes_know_what_the_first_has_written(tmp_path, monkeypatch):
    path = tmp_path / "last.ckpt"
    path.touch()
    os.utime(path, (1, 1))  # by an earlier run
    monkeypatch.setattr("training.checkpoint_files.is_main_process", lambda: False)
    files = SharedCheckpoints()
    assert not files.has_written(path)
    path.write_bytes(b"new")
    assert files.has_written(path)


LAUNCHER = """
import sys
sys.path.insert(0, {root!r})
from training.distributed.launch import run_processes
wait = "import os, time; print(os.getpid(), flush=True); time.sleep(100)"
run_processes([sys.executable, "-c", wait], 2)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not end them")
def test_processes_end_with_the_one_that_started_them(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(LAUNCHER.format(root=str(ROOT)))
    launcher = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    assert launcher.stdout is not None
    numbers = [int(launcher.stdout.readline()) for _ in range(2)]
    launcher.kill()
    launcher.wait()
    launcher.stdout.close()
    deadline = time.monotonic() + 30
    while any(map(is_running, numbers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_running, numbers))


def is_running(number: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{number}/stat").read_text()
    except OSError:
        return False


def test_batches_of_two_processes_are_those_of_one():
    """39 pixels in steps of 10: in the last one the second process has 4 of 9."""
    photos, cameras = two_photos()
    one = RayLoader(photos, cameras, Bounds(2.0, 6.0), 10, seed=3)
    two = [
        RayLoader(photos, cameras, Bounds(2.0, 6.0), 5, seed=3, rank=i, world_size=2)
        for i in range(2)
    ]
    for whole, *parts in zip(one, *two, strict=True):
        assert whole.weight == 1
        torch.testing.assert_close(whole.rgbs, torch.cat([part.rgbs for part in parts]))
        mean = sum(part.weight * part.rgbs.mean(dim=0) for part in parts) / 2
        torch.testing.assert_close(whole.rgbs.mean(dim=0), mean)


def test_a_process_without_pixels_has_no_weight():
    photos, cameras = two_photos()
    loader = RayLoader(photos, cameras, Bounds(2.0, 6.0), 18, seed=3, rank=1, world_size=2)
    assert [(len(batch.rays), batch.weight) for batch in loader] == [(18, 1.0), (1, 0.0)]


def test_alone_there_is_nothing_to_share():
    parameter = torch.nn.Parameter(torch.zeros(2))
    parameter.grad = torch.ones(2)
    average_gradients([parameter])
    assert parameter.grad.tolist() == [1, 1]
    assert (rank(), world_size(), local_world_size()) == (0, 1, 1)


def test_several_machines_need_a_meeting_place(monkeypatch):
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(UserError, match="torchrun or srun, or set MASTER_ADDR, MASTER_PORT"):
        launch(1, num_nodes=2)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "29500")
    monkeypatch.setenv("NODE_RANK", "first")
    with pytest.raises(UserError, match="must be numbers"):
        launch(1, num_nodes=2)
