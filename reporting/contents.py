"""What a report says, in the form that its template takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from datasets.files.layout import check_layout
from datasets.files.text import read_object
from reporting import pictures
from reporting.judgement import judge
from reporting.points import Point, table
from reporting.run import Run
from reporting.shown import STRIP_SIDE, poster, shown_film, shown_picture
from writing.html.page import data_uri

# Of capture_report.json, as far as it is shown.
_CAPTURE = {"placed": int, "photos": list, "capture": str, "advice": [str]}

# A page of export.py that is larger is linked, for a report to stay under 10 MB.
_MOST_PAGE_BYTES = 6_000_000


def describe(
    run: Run, folder: Path, points: Sequence[Point], defaults: Callable[[str], dict[str, Any]]
) -> dict[str, Any]:
    """All that the template shows of one run.

    Args:
        folder: its figures are written there.
        points: that are tabled.
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
                "said": pictures.say_error(view),
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
        "page": None if run.page is None else _page(run.page),
        "metrics": run.metrics,
        "results": run.results,
        "points": table(run, points),
        "commands": run.commands,
        "judgement": judge(run),
        "training_photos": run.record.get("training_photos", []),
        "depth_ends": _depth_ends(run),
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


def _depth_ends(run: Run) -> tuple[str, str]:
    """What the nearest and the farthest colour of the depth picture stand for."""
    if run.scene is None or run.scene.forward_facing:
        return "near", "far"
    bounds, units = run.scene.bounds, run.scene.units
    return f"near, {bounds.near * units:.3g}", f"far, {bounds.far * units:.3g}"


def _capture(path: Path) -> dict[str, Any]:
    report = check_layout(read_object(path), _CAPTURE, str(path))
    return {
        "placed": report.get("placed"),
        "photos": len(report.get("photos", [])),
        "kind": report.get("capture"),
        "advice": report.get("advice", []),
    }


def _page(path: Path) -> dict[str, str | None]:
    """An exported page: its text where a report can carry it, and where it is."""
    small = path.stat().st_size <= _MOST_PAGE_BYTES
    text = path.read_text(encoding="utf-8", errors="replace") if small else None
    return {"text": text, "name": path.name, "uri": path.resolve().as_uri()}


def _embedded(path: Path | None) -> str | None:
    return None if path is None else shown_picture(path)


def _video(caption: str, path: Path, folder: Path) -> dict[str, str | None]:
    if path.suffix == ".mp4":
        uri, still = shown_film(path, folder), None if "_depth" in path.stem else poster(path)
    else:
        uri, still = data_uri(path), None
    return {"caption": caption, "uri": uri, "kind": path.suffix[1:], "poster": still}
