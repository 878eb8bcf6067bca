"""A run, as far as its training and evaluation have written it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datasets.files.images import read_rgb
from datasets.files.layout import check_layout
from datasets.files.text import is_file, read_object
from datasets.scene import Scene
from errors import UserError
from reporting.events import Log, Picture, read_log, split_comparison
from training.callbacks.record import CAPTURE, PHOTOS, RUN, SCENE
from training.callbacks.snapshots import DEPTH_GIF, FOLDER, VIEWS_GIF

COMPARISON = "val/GT_pred_depth"
# Folders of the evaluation, the best first: what moves, and what was measured.
METRICS = "metrics.json"
# Their layouts, as far as a report shows what is in them.
_MEAN = {"psnr": float, "ssim": float}
_RECORD = {
    **{"state": str, "step": int, "epoch": int, "first_step": int, "seconds": float},
    **{"options": {"model": str}, "views": {str: int}, "parameters": int, "versions": {str: str}},
    **{"training_photos": [{"name": str, "psnr": float, "cause": str}], "validation": _MEAN},
    **{"scene": str, "command": str, "started": str, "device": str, "devices": int},
}
_METRICS = {
    "mean": _MEAN,
    "views": [{"name": str, **_MEAN}],
    "protocol": str,
    "ckpt_path": str,
    **{"command": str, "seconds_per_frame": float},
    "published": {"psnr": {str: float}, "differs": [str]},
}
# What a record with a command has besides.
_WITH_COMMAND = ("options", "views", "parameters", "started", "device", "versions")
FLIGHTS, MEASURED = ("path", "preview", "test"), ("test", "val", "train", ".")


@dataclass(frozen=True)
class Shot:
    """A held-out view after so many steps."""

    step: int
    image: Picture


@dataclass(frozen=True)
class Compared:
    """A view beside its photo."""

    name: str
    photo: Picture
    image: Picture
    depth: Picture | None = None

    @property
    def error(self) -> np.ndarray:
        """Mean absolute difference of each pixel's colours, in [0, 1]."""
        return np.abs(self.photo.astype(np.float32) - self.image).mean(-1) / 255


@dataclass(frozen=True)
class Run:
    """Everything of a run that a report shows; what is not there is None or empty.

    Attributes:
        folder: the newest version_N of its logs.
        results: the folder of its evaluation, with a folder for each split.
        measured: that of the split that was measured.
    """

    name: str
    folder: Path
    log: Log
    record: dict[str, Any]
    scene: Scene | None
    results: Path | None
    measured: Path | None
    metrics: dict[str, Any] | None

    @property
    def state(self) -> str:
        return self.record.get("state", "unknown")

    @property
    def step(self) -> int:
        """How far training got, as far as is known."""
        logged = max((series.steps[-1] + 1 for series in self.log.scalars.values()), default=0)
        return max(logged, self.record.get("step", 0))

    @property
    def missing(self) -> list[str]:
        """What a finished and evaluated run would have, in words."""
        found = []
        if not self.record:
            found.append("there is no record of its options and its end (run.json)")
        elif self.state == "training":
            found.append("training has not finished (or was killed)")
        elif self.state != "finished":
            found.append(f"training was {self.state}")
        if not self.log.series("val/psnr").steps:
            found.append("it has not been validated")
        if self.results is None:
            found.append("it has not been evaluated (python eval.py --ckpt_path ...)")
        elif self.metrics is None:
            found.append("its evaluation has no metrics.json (no photos to compare with)")
        return found

    @property
    def flight(self) -> Path | None:
        """The folder of the flight, or of its preview."""
        if self.results is None:
            return None
        folders = (self.results / name for name in FLIGHTS)
        return next((folder for folder in folders if any(folder.glob("*.mp4"))), None)

    @property
    def page(self) -> Path | None:
        """A page of export.py among the results."""
        if self.results is None:
            return None
        return _page(self.results)

    @property
    def commands(self) -> list[str]:
        """What was typed, as far as it is known: preparing, training, measuring, flying."""
        report = self.capture("capture_report.json")
        prepared = None if report is None else read_object(report).get("command")
        flown = None
        if self.flight is not None and is_file(self.flight / "frames.json"):
            flown = read_object(self.flight / "frames.json").get("command")
        measured = (self.metrics or {}).get("command")
        if measured is None:
            checkpoint = (self.metrics or {}).get("ckpt_path") or f"ckpts/{self.name}/last.ckpt"
            measured = shlex.join(["python", "eval.py", "--ckpt_path", checkpoint])
        typed = (prepared, self.record.get("command"), measured, flown)
        return list(dict.fromkeys(command for command in typed if isinstance(command, str)))

    @property
    def photos(self) -> Path | None:
        return _existing(self.folder / PHOTOS)

    def capture(self, name: str) -> Path | None:
        return _existing(self.folder / CAPTURE / name)

    def shots(self, count: int = 8) -> list[Shot]:
        """The first held-out view over time: the run's snapshots, else `count` validations."""
        paths = sorted((self.folder / FOLDER).glob("step_*.png"))
        paths = [path for path in paths if path.stem[5:].isdecimal()]
        if len(paths) > 1:  # somebody chose these steps
            return [Shot(int(path.stem[5:]), read_rgb(path)) for path in paths]
        logged = self.log.images.get(COMPARISON, [])
        shots = [Shot(step, split_comparison(image)[1]) for step, image in logged]
        # Closer together at the start, where most happens.
        picks = np.geomspace(1, len(shots), min(count, len(shots))).round().astype(int) - 1
        return [shots[i] for i in np.unique(picks)] if shots else []

    def compared(self) -> list[Compared]:
        """Views beside their photos: those that evaluation left, else the one of validation."""
        found = []
        if self.measured is not None:
            for path in sorted((self.measured / "examples").glob("*_photo.png")):
                number = path.name.split("_")[0]
                image = _existing(self.measured / f"{number}.png")
                if image is not None and number.isdecimal():
                    rows = (self.metrics or {}).get("views", [])
                    row = rows[int(number)] if int(number) < len(rows) else {}
                    quality = f", {row['psnr']:.2f} dB" if "psnr" in row else ""
                    name = f"view {number}{quality}"
                    found.append(Compared(name, *_same_size(read_rgb(path), read_rgb(image), path)))
        logged = self.log.images.get(COMPARISON, [])
        if logged:
            step, encoded = logged[-1]
            found.append(Compared(f"validation, step {step}", *split_comparison(encoded)))
        return found

    def videos(self) -> list[tuple[str, Path]]:
        """Captions and files of what moves: the flight, or its preview, and their depth."""
        found = []
        if self.flight is not None:
            name = self.flight.name
            for path in sorted(self.flight.glob("*.mp4")):
                depth = path.stem.endswith("_depth")
                found.append((f"{name}: depth, red is near" if depth else f"the {name}", path))
        for name, caption in (
            (VIEWS_GIF, "novel views along the test cameras"),
            (DEPTH_GIF, "their depth, nearer is lighter"),
        ):
            path = self.folder / name
            if path.is_file():
                found.append((caption, path))
        return found


def load_run(name: str, logs: Path, results: Path | None) -> Run:
    """Read what there is of a run. Raises UserError where there is nothing.

    Args:
        name: the run's --exp_name.
        logs: the folder logs/.
        results: the evaluation's folder; by default where eval.py writes it.
    """
    versions = sorted(
        (path for path in (logs / name).glob("version_*") if path.name[8:].isdigit()),
        key=lambda path: int(path.name[8:]),
    )
    versions = [path for path in versions if any(path.glob("events.out.tfevents.*"))]
    if not versions:
        there = sorted(path.name for path in logs.glob("*")) if logs.is_dir() else []
        raise UserError(
            f"{logs / name}: no such run; "
            + (f"there are {', '.join(there)}" if there else "train one first")
        )
    chain = [versions[-1]]
    for version in reversed(versions[:-1]):
        if not _read_record(chain[0] / RUN).get("first_step"):
            break  # it began anew
        chain.insert(0, version)
    record = _read_record(chain[-1] / RUN)
    scene = _read_scene(chain[-1] / SCENE)
    folder = results or _results_folder(record)
    measured = None
    if folder is not None:
        splits = (folder / split for split in MEASURED)
        measured = next((split for split in splits if (split / METRICS).is_file()), None)
    metrics = {} if measured is None else _read_metrics(measured / METRICS)
    checkpoint = metrics.get("ckpt_path")
    if results is None and checkpoint and Path(checkpoint).parent.name != name:
        folder, measured, metrics = None, None, {}  # the evaluation there is another run's
    if folder is not None and not metrics and not (any(folder.rglob("*.mp4")) or _page(folder)):
        folder = None
    log = read_log(chain)
    return Run(name, chain[-1], log, record, scene, folder, measured, metrics or None)


def _results_folder(record: dict[str, Any]) -> Path | None:
    options = record.get("options", {})
    if not options:
        return None
    path = Path(str(options.get("dataset_name"))) / str(record.get("scene"))
    # Names from a file lead to no other folder.
    return None if ".." in path.parts or path.is_absolute() else _existing("results" / path)


def _page(folder: Path) -> Path | None:
    return next(iter(sorted(folder.glob("*.html"))), None)


def _existing(path: Path) -> Path | None:
    return path if path.exists() else None


def _read_record(path: Path) -> dict[str, Any]:
    """What a run has written of itself; empty where there is nothing."""
    if not is_file(path):
        return {}
    record = check_layout(_without_null(path), _RECORD, str(path))
    if "command" in record:
        _need(record, _WITH_COMMAND, path)
        _need(record["options"], ("dataset_name",), path)
        _need(record["views"], ("train",), path)
    return record


def _read_scene(path: Path) -> Scene | None:
    if not is_file(path):
        return None
    try:
        return Scene.from_dict(read_object(path))
    except UserError as error:
        raise UserError(f"{path}: {error}; remove it or train again") from error


def _read_metrics(path: Path) -> dict[str, Any]:
    metrics = check_layout(_without_null(path), _METRICS, str(path))
    if "views" in metrics:
        _need(metrics, ("mean", "protocol"), path)
    for row in (metrics.get("mean"), *metrics.get("views", [])):
        if row is not None:
            _need(row, tuple(_MEAN), path)
    return metrics


def _need(values: dict[str, Any], keys: tuple[str, ...], path: Path) -> None:
    """Raise UserError where one of the keys that the page shows has no value."""
    lacking = [key for key in keys if values.get(key) is None]
    if lacking:
        raise UserError(f"{path}: damaged (there is no {lacking[0]}); make it again")


def _without_null(path: Path) -> dict[str, Any]:
    """The object of a file, without the keys at its top that have no value."""
    return {key: value for key, value in read_object(path).items() if value is not None}


def _same_size(photo: Picture, image: Picture, path: Path) -> tuple[Picture, Picture]:
    if photo.shape != image.shape:
        raise UserError(f"{path}: is not of the size of its view; evaluate again")
    return photo, image
