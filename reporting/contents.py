"""What a report says, in the form that its template takes."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datasets.files.layout import check_layout
from datasets.files.text import read_object
from reporting import pictures
from reporting.run import Run
from reporting.shown import STRIP_SIDE, poster, shown_film, shown_picture
from writing.html.page import data_uri

# Of capture_report.json, as far as it is shown.
_CAPTURE = {"placed": int, "photos": list, "capture": str, "advice": [str]}


def epoch_ends(run: Run) -> dict[int, int]:
    """The last logged step of each epoch that is over, by its number from 1."""
    series = run.log.series("epoch")
    ends: dict[int, int] = {}
    for step, epoch in zip(series.steps, series.values, strict=True):
        ends[int(epoch) + 1] = step
    running = run.record.get("epoch", 0) + 1
    return {epoch: step for epoch, step in ends.items() if epoch < running or epoch < max(ends)}


def epoch_table(run: Run, epochs: tuple[int, ...]) -> list[dict[str, Any]]:
    """Figures after the chosen epochs, as far as the run got."""
    ends = epoch_ends(run)
    return [
        {
            "epoch": epoch,
            "step": ends[epoch],
            **{
                tag.replace("/", "_"): run.log.series(tag).at(ends[epoch] + 1)
                for tag in ("train/psnr", "train/loss", "val/psnr", "val/loss")
            },
        }
        for epoch in epochs
        if epoch in ends
    ]


def describe(
    run: Run, folder: Path, epochs: tuple[int, ...], defaults: Callable[[str], dict[str, Any]]
) -> dict[str, Any]:
    """All that the template shows of one run.

    Args:
        folder: its figures are written there.
        epochs: that are tabled.
        defaults: of a model's name, the options of a training that gives none.
    """
    record = run.record
    compared = run.compared()
    held_out = compared[-1].photo if compared else None
    sliders = []
    for number, view in enumerate(compared):
        photo, image, error = pictures.comparison(folder, run, number, view)
        sliders.append(
            {
                "name": view.name,
                "photo": shown_picture(photo),
                "image": shown_picture(image),
                "error": shown_picture(error),
                "small": view.photo.shape[1] < 200,
            }
        )
    depth = next((view.depth for view in compared if view.depth is not None), None)
    if depth is not None:
        pictures.write_png(folder / f"{run.name}_depth.png", depth.copy())
    strip = pictures.strip(folder, run, held_out)
    report = run.capture("capture_report.json")
    return {
        "name": run.name,
        "state": "not finished" if run.state == "training" else run.state,
        "step": run.step,
        "missing": run.missing,
        "record": record,
        "options": _options(record, defaults),
        "all_options": record.get("options", {}),
        "seconds": _duration(record.get("seconds")),
        "last": {
            tag: (series.values[-1] if (series := run.log.series(tag)).values else None)
            for tag in ("train/psnr", "val/psnr", "val/psnr_pixels", "train/psnr_whole_views")
        },
        "capture": _capture(report) if report else None,
        "photos": _embedded(run.photos),
        "contact_sheet": _embedded(run.capture("contact_sheet.png")),
        "cameras": _embedded(run.capture("cameras.png") or pictures.cameras(folder, run)),
        "strip": None if strip is None else shown_picture(strip, STRIP_SIDE),
        "sliders": sliders,
        "depth": _embedded(folder / f"{run.name}_depth.png") if depth is not None else None,
        "videos": [_video(caption, path, folder) for caption, path in run.videos()],
        "metrics": run.metrics,
        "results": run.results,
        "epochs": epoch_table(run, epochs),
        "commands": _commands(run),
    }


def _options(record: dict[str, Any], defaults: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """Options that differ from their defaults."""
    options = record.get("options", {})
    usual = {**defaults(options.get("model", "nerf")), "model": None}
    return {name: value for name, value in options.items() if usual.get(name) != value}


def _duration(seconds: float | None) -> str | None:
    if not seconds:
        return None
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes} min"
        if hours
        else f"{minutes} min {rest} s"
        if minutes
        else f"{rest} s"
    )


def _capture(path: Path) -> dict[str, Any]:
    report = check_layout(read_object(path), _CAPTURE, str(path))
    return {
        "placed": report.get("placed"),
        "photos": len(report.get("photos", [])),
        "kind": report.get("capture"),
        "advice": report.get("advice", []),
    }


def _commands(run: Run) -> list[str]:
    commands = [run.record["command"]] if "command" in run.record else []
    checkpoint = (run.metrics or {}).get("ckpt_path") or f"ckpts/{run.name}/last.ckpt"
    commands.append(shlex.join(["python", "eval.py", "--ckpt_path", checkpoint]))
    return commands


def _embedded(path: Path | None) -> str | None:
    return None if path is None else shown_picture(path)


def _video(caption: str, path: Path, folder: Path) -> dict[str, str | None]:
    if path.suffix == ".mp4":
        uri, still = shown_film(path, folder), None if "_depth" in path.stem else poster(path)
    else:
        uri, still = data_uri(path), None
    return {"caption": caption, "uri": uri, "kind": path.suffix[1:], "poster": still}
