"""Whole runs on a tiny scene: train, resume, collapse, go on from weights."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.conftest import ROOT
from tests.helpers.commands import TINY, run, weights
from tests.scenes import write_blender


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a scene of 10 steps an epoch, and a run of 25 steps."""
    folder = tmp_path_factory.mktemp("work")
    write_blender(folder / "ball")
    log = run(
        *(folder, "train.py", "--root_dir", "ball", "--exp_name", "whole", "--max_steps", "25"),
        *("--val_every_steps", "10", *TINY),
    )
    return folder, log.stdout


def test_run_writes_checkpoints_and_logs(trained):
    folder, output = trained
    assert (folder / "ckpts/whole/last.ckpt").is_file()
    assert len(list((folder / "ckpts/whole").glob("epoch=*.ckpt"))) == 2
    assert "python eval.py --ckpt_path ckpts/whole/last.ckpt" in output
    events = EventAccumulator(str(folder / "logs/whole/version_0"))
    events.Reload()
    tags = events.Tags()
    scalars = {"train/loss", "train/psnr", "lr", "val/loss", "val/psnr", "train/rays_per_second"}
    assert scalars <= set(tags["scalars"])
    pictures = events.Images("val/GT_pred_depth")
    assert {0, 10, 20, 25} <= {picture.step for picture in pictures}


@pytest.mark.parametrize("stop_at", [7, 10, 14])
def test_resumed_run_ends_with_the_same_weights(trained, stop_at):
    """Interrupted within the first epoch, at its end, and within the second."""
    folder, _ = trained
    name = f"part{stop_at}"
    run(
        *(folder, "train.py", "--root_dir", "ball", "--exp_name", name),
        *("--max_steps", str(stop_at), "--val_every_steps", "10", *TINY),
    )
    run(folder, "train.py", "--ckpt_path", f"ckpts/{name}/last.ckpt", "--max_steps", "25")
    whole, resumed = (weights(folder / f"ckpts/{n}/last.ckpt") for n in ("whole", name))
    assert whole.keys() == resumed.keys()
    for key in whole:
        assert torch.equal(whole[key], resumed[key]), key


def test_killed_run_resumes_to_the_same_weights(trained):
    folder, _ = trained
    command = [sys.executable, str(ROOT / "train.py"), "--root_dir", "ball", "--exp_name", "killed"]
    command += ["--max_steps", "25", "--val_every_steps", "3", *TINY]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    checkpoint = folder / "ckpts/killed/last.ckpt"
    deadline = time.monotonic() + 120
    while not checkpoint.exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert checkpoint.exists()
    run(folder, "train.py", "--ckpt_path", "ckpts/killed/last.ckpt")
    whole, resumed = (weights(folder / f"ckpts/{n}/last.ckpt") for n in ("whole", "killed"))
    for key in whole:
        assert torch.equal(whole[key], resumed[key]), key


def test_interrupt_saves_a_whole_step(trained):
    folder, _ = trained
    command = [
        sys.executable,
        "-u",
        str(ROOT / "train.py"),
        "--root_dir",
        "ball",
        "--exp_name",
        "ctrlc",
    ]
    command += ["--max_steps", "100000", "--val_every_steps", "100000", *TINY]
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    logs = folder / "logs/ctrlc"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        files = list(logs.glob("version_0/events*"))
        if files and files[0].stat().st_size > 1500:
            break
        time.sleep(0.1)
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "python train.py --ckpt_path ckpts/ctrlc/last.ckpt" in output
    state = torch.load(folder / "ckpts/ctrlc/last.ckpt", weights_only=True)
    assert state["global_step"] > 0


def test_collapse_is_noticed_and_restarted_once(trained, monkeypatch, capsys):
    """A learning rate that kills all densities at once leaves a white picture."""
    folder, _ = trained
    monkeypatch.chdir(folder)
    output = run(
        *(folder, "train.py", "--root_dir", "ball", "--exp_name", "dead", "--lr", "3"),
        *("--max_steps", "400", "--val_every_steps", "400", *TINY),
        code=2,
    )
    assert "training collapsed: after" in output.stdout
    assert "starting again with --seed 1" in output.stdout
    assert "collapsed again" in output.stderr


def test_weights_alone_start_a_new_run(trained):
    folder, _ = trained
    output = run(
        *(folder, "train.py", "--ckpt_path", "ckpts/whole/last.ckpt", "--exp_name", "tuned"),
        *("--prefixes_to_ignore", "rgb", "--max_steps", "2", "--val_every_steps", "2"),
    ).stdout
    assert "training starts at step 0" in output
    assert torch.load(folder / "ckpts/tuned/last.ckpt", weights_only=True)["global_step"] == 2


def test_other_network_than_the_checkpoint_is_refused(trained):
    folder, _ = trained
    process = run(
        folder, "train.py", "--ckpt_path", "ckpts/whole/last.ckpt", "--netwidth", "32", code=2
    )
    assert "does not fit the network" in process.stderr
    assert len(process.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("flags", [["--precision", "bf16-mixed"], ["--N_importance", "0"]])
def test_other_ways_to_train(trained, flags):
    folder, _ = trained
    run(
        *(folder, "train.py", "--root_dir", "ball", "--exp_name", "other", "--max_steps", "3"),
        *TINY,
        *flags,
    )
    state = weights(folder / "ckpts/other/last.ckpt")
    assert all(value.isfinite().all() for value in state.values())
    assert any(name.startswith("nerf_fine") for name in state) == ("--N_importance" not in flags)
