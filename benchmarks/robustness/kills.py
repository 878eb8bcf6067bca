"""Commands that are killed (-9) at random moments and started again until they are done.

    python -m benchmarks.robustness.kills --kills 50 --photos data/bust/images

Each restart must go on, the end must be that of a run that nobody killed, and nothing unfinished
may stay behind. Half of the kills wait until a file is being written. Commands run in forks of a
process that has imported them: a kill falls into their work, and not into their imports.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.record import Recorder, RecordOptions, Value, single
from benchmarks.support.results import Differences, same_files, same_scene, same_weights
from cli import parse
from datasets.demo.scene import write_demo_scene
from errors import UserError, require, run_command
from writing.files import is_unfinished

# A process that has imported the commands and does nothing but fork: it has no threads to lose.
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["train", "eval", "prepare"])
_ROOT = Path(__file__).resolve().parents[2]
_LONGEST = 600.0  # seconds that a command may take
_WAIT = 3.0  # seconds that a kill waits for a file to be written
_GRACE = 60.0  # seconds that a command has to end once one of its processes is killed
_KILLED = (
    -9,
    128 + 9,
)  # exit codes; the second one of a command that has lost a process of its own
_SCENE = "--dataset_name blender --root_dir scene --accelerator cpu"
_TRAIN = f"{_SCENE} --exp_name run --val_rays 64 --save_top_k 2"
_EVAL = f"{_SCENE} --ckpt_path given/last.ckpt --out_dir results --save_depth"


@dataclass(frozen=True)
class Job:
    """A command, what it leaves, and what of it must be the same.

    Attributes:
        again: the words of a restart, where they differ once this file is there.
        outputs: folders that it writes.
        compare: what differs between two of its folders, as lines.
        processes: it runs as so many, which another one starts; any of them may be killed.
    """

    script: str
    words: str
    outputs: tuple[str, ...]
    compare: Callable[[Path, Path], Differences]
    again: tuple[Path, str] | None = None
    processes: int = 1


def _training(words: str, processes: int = 1) -> Job:
    last = Path("ckpts/run/last.ckpt")
    more = f" --num_gpus {processes}" if processes > 1 else ""
    again = last, f"--ckpt_path {last}{more}"
    words = f"{_TRAIN} {words}{more}"
    return Job("train", words, ("ckpts", "logs"), same_weights, again, processes)


def _evaluation(words: str) -> Job:
    return Job("eval", f"{_EVAL} {words}", ("results",), same_files)


JOBS = {
    "voxels": _training("--model voxels --resolution 32 --max_steps 200 --val_every_steps 20"),
    "nerf": _training(
        "--model nerf --netdepth 2 --netwidth 16 --netskip 1 --N_samples 8 --N_importance 8 "
        "--batch_size 128 --max_steps 150 --val_every_steps 10"
    ),
    "tensorf": _training(
        "--model tensorf --resolution 32 --batch_size 128 --max_steps 60 --val_every_steps 6"
    ),
    "two": _training(
        "--model nerf --netdepth 2 --netwidth 16 --netskip 1 --N_samples 8 --N_importance 8 "
        "--batch_size 64 --max_steps 300 --val_every_steps 10",
        processes=2,
    ),
    "path": _evaluation("--split path --n_frames 24 --img_wh 64 64"),
    "test": _evaluation("--split test"),
    "prepare": Job(
        *("prepare", "--input photos --root_dir prepared --max_size 400"),
        *(("prepared",), same_scene),
    ),
}


@dataclass(frozen=True)
class Options(RecordOptions):
    """Kill commands and start them again."""

    kills: int = 50
    """kills of each command"""
    jobs: tuple[str, ...] = tuple(JOBS)
    """commands to kill: trainings of each model, and of one under two processes, eval.py on a path
    and on test views, prepare.py"""
    photos: str = ""
    """folder of photos for prepare.py, which is left out without it"""
    photo_count: int = 10
    """photos that are taken of it"""
    seed: int = 0
    """of the moments"""

    def __post_init__(self) -> None:
        require(self.kills > 0, "--kills must be positive")
        unknown = [job for job in self.jobs if job not in JOBS]
        require(not unknown, f"--jobs: {', '.join(unknown)} is none of {', '.join(JOBS)}")
        require(not self.photos or Path(self.photos).is_dir(), f"{self.photos}: no such folder")


@dataclass
class Outcome:
    """What became of a command that was killed again and again.

    Attributes:
        kills, writing: how many, and how many of them while a file was written.
        ends: runs that came to their end.
        faults: what was wrong, as lines.
    """

    kills: int = 0
    writing: int = 0
    ends: int = 0
    faults: tuple[str, ...] = ()


def main() -> None:
    options = parse(Options)
    recorder = Recorder(options.record)
    values: list[Value] = []
    faults: list[str] = []
    photos: list[Path] = []
    if options.photos:
        photos = sorted(Path(options.photos).iterdir())[: options.photo_count]
    with tempfile.TemporaryDirectory(prefix="kills") as place:
        for name in options.jobs:
            if name == "prepare" and not photos:
                continue
            outcome = torture(name, options.kills, options.seed, Path(place) / name, photos)
            print(
                f"{name:8} {outcome.kills} kills, {outcome.writing} while a file was written, "
                f"{outcome.ends} runs to the end, {len(outcome.faults)} faults",
                flush=True,
            )
            for line in outcome.faults:
                print(f"  {line}", flush=True)
            faults += outcome.faults
            for what, value in (
                ("kills", outcome.kills),
                ("of them while a file was written", outcome.writing),
                ("faults", len(outcome.faults)),
            ):
                values.append(single(f"{name}: {what}", value, "", "tests", digits=0))
            # After each command: they take their time.
            recorder.write("commands killed (-9) at random moments and started again", values)
    require(not faults, f"{len(faults)} faults")


def torture(name: str, kills: int, seed: int, folder: Path, photos: Sequence[Path] = ()) -> Outcome:
    """Kill a command so often, each time starting it again, in new folders under `folder`."""
    os.environ["OMP_NUM_THREADS"] = "1"  # of the server, too, whose forks would wait for others
    job, rng = JOBS[name], random.Random(f"{name} {seed}")
    whole = _new_folder(folder / "whole", job, photos)
    start = time.monotonic()
    _finish(job, whole)
    seconds = time.monotonic() - start
    outcome, number = Outcome(), 0
    while outcome.kills < kills:
        number += 1
        parts = _new_folder(folder / f"parts{number}", job, photos)
        while True:
            moment = rng.uniform(0, seconds)
            victim = rng.randrange(job.processes + 1) if job.processes > 1 else 0
            is_killed, was_writing = _run(job, parts, moment, rng.random() < 0.5, victim)
            if not is_killed:
                break
            outcome.kills += 1
            outcome.writing += was_writing
            if outcome.kills >= kills:
                _finish(job, parts)
                break
        outcome.ends += 1
        differences = [*_leftovers(parts, job), *job.compare(whole, parts)]
        outcome.faults += tuple(f"{name}, run {number}: {line}" for line in differences)
        if not differences:
            shutil.rmtree(parts)
    return outcome


def _new_folder(folder: Path, job: Job, photos: Sequence[Path]) -> Path:
    """A folder with what the command reads."""
    folder.mkdir(parents=True)
    if job.script == "prepare":
        (folder / "photos").mkdir()
        for photo in photos:
            shutil.copy2(photo, folder / "photos")
        return folder
    write_demo_scene(folder / "scene", size=32, train=10, val=2, test=6, supersampling=1)
    if job.script == "eval":
        _finish(_training("--model voxels --resolution 32 --max_steps 200"), folder)
        os.replace(folder / "ckpts/run", folder / "given")
    return folder


def _run(job: Job, folder: Path, moment: float, wait: bool, victim: int = 0) -> tuple[bool, bool]:
    """Start the command and kill it; whether it was killed, and whether it was writing then.

    Args:
        moment: seconds after which it is killed.
        wait: whether the kill waits a little for a file that is being written.
        victim: the process that is killed: the one that was started, or this one of those that it
            has started itself, from 1.

    Raises UserError where the command fails by itself, or does not end with the one that is killed.
    """
    process = _start(job, folder)
    assert process.pid is not None
    process.join(moment)
    deadline = time.monotonic() + (_WAIT if wait else 0)
    while process.is_alive() and time.monotonic() < deadline and not _writes(folder, job):
        pass
    was_writing = _writes(folder, job)
    family = [process.pid, *_children(process.pid)]
    with contextlib.suppress(ProcessLookupError):  # it has ended by itself
        os.kill(family[min(victim, len(family) - 1)], signal.SIGKILL)
    process.join(_GRACE)
    if process.is_alive() or not _ended(family[1:]):
        process.kill()
        raise UserError(f"{job.script}.py: killed in process {victim}, it does not end")
    told = (folder / "output.txt").read_text()
    # One that has lost another process says so in a line.
    is_killed = process.exitcode in _KILLED or (victim > 0 and process.exitcode == 2)
    if (not is_killed and process.exitcode != 0) or "Traceback" in told:
        raise UserError(f"{job.script}.py fails: {told[-2000:]}")
    return is_killed, was_writing


def _children(process: int) -> list[int]:
    """The processes that this one has started, in their order; none where it has ended."""
    try:
        return list(map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split()))
    except OSError:
        return []


def _ended(processes: Sequence[int]) -> bool:
    """Whether these end in a few seconds."""
    deadline = time.monotonic() + _GRACE
    while any(Path(f"/proc/{process}/exe").exists() for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _finish(job: Job, folder: Path) -> None:
    if _run(job, folder, _LONGEST, wait=False)[0]:
        raise UserError(f"{job.script}.py takes more than {_LONGEST:.0f} s")


def _start(job: Job, folder: Path) -> multiprocessing.process.BaseProcess:
    words = job.words
    if job.again is not None and (folder / job.again[0]).exists():
        words = job.again[1]
    process = _SERVER.Process(target=_child, args=(job.script, words, folder))
    process.start()
    return process


def _child(script: str, words: str, folder: Path) -> None:
    """The command, with what it prints at the end of output.txt."""
    os.chdir(folder)
    output = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.argv = [f"{script}.py", *words.split()]
    # Where it starts further processes, these run the same command.
    sys.orig_argv = [sys.executable, str(_ROOT / f"{script}.py"), *words.split()]
    run_command(importlib.import_module(script).main)


def _writes(folder: Path, job: Job) -> bool:
    return any(_unfinished(folder, job))


def _unfinished(folder: Path, job: Job) -> list[Path]:
    found = []
    for output in job.outputs:
        for place, folders, files in os.walk(folder / output):
            found += [Path(place) / name for name in (*folders, *files) if name.startswith(".")]
    return [path for path in found if is_unfinished(path)]


def _leftovers(folder: Path, job: Job) -> Differences:
    return [f"left behind: {path.relative_to(folder)}" for path in _unfinished(folder, job)]


if __name__ == "__main__":
    run_command(main)
