"""What a run has to say: a table, capture_report.json, the contact sheet, the cameras' picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pycolmap
from jaxtyping import UInt8

from capture.checks.check import Verdict
from capture.checks.pictures import Cell, draw_cameras, draw_contact_sheet
from capture.input.photos import Photo
from capture.output.export import Exported, scene_to_solver
from cli import typed_command
from geometry.poses import Poses
from writing.files import write_json

Load = Callable[[str], UInt8[np.ndarray, "height width 3"]]

REPORT, SHEET, CAMERAS = "capture_report.json", "contact_sheet.png", "cameras.png"


def make_report(
    photos: Sequence[Photo],
    skipped: Sequence[str],
    verdicts: Mapping[str, Verdict],
    features: Mapping[str, int],
    advice: Sequence[str],
    exported: Exported | None,
    solver: Mapping[str, Any],
) -> dict[str, Any]:
    """All that is known of the capture, as plain values.

    Args:
        photos: all that were read.
        skipped: a line for each file that was not.
        verdicts, features: per photo.
        advice: sentences for the photographer.
        exported: the scene; None where solving failed.
        solver: how it was solved.
    """
    order = {} if exported is None else _order(photos, exported)
    rows = []
    for photo in photos:
        index = order.get(photo.name)
        row: dict[str, Any] = {
            "photo": photo.source,
            "verdict": str(verdicts[photo.name]),
            "placed": index is not None,
            "size": list(photo.size),
            "camera": photo.camera,
            "sharpness": round(photo.look.sharpness, 4),
            "exposure_stops": round(photo.look.exposure, 2),
            "features": features.get(photo.name, 0),
        }
        if exported is not None and index is not None:
            row["image"] = exported.names[index]
            row["position"] = exported.poses[index, :, 3].round(4).tolist()
            row["place"] = describe_place(exported.poses, index, exported.placement.kind)
            row["near_far"] = exported.bounds[index].round(4).tolist()
        rows.append(row)
    report: dict[str, Any] = {
        "photos": rows,
        "skipped": list(skipped),
        "placed": len(order),
        "advice": list(advice),
        "solver": dict(solver),
    }
    if exported is not None:
        report["capture"] = exported.placement.kind
        report["up_from"] = exported.placement.up_from
        report["scene_from_colmap"] = exported.placement.to_scene.tolist()
        report["colmap_from_scene"] = scene_to_solver(exported.placement)
    return report


def write_report(
    root: Path, report: Mapping[str, Any], photos: Sequence[Photo], load: Load
) -> None:
    """Write capture_report.json and the contact sheet."""
    cells = []
    for row, photo in zip(report["photos"], photos, strict=True):
        level = 0 if row["verdict"] == "good" else 1
        if not row["placed"]:
            level = 2
        verdict, place = row["verdict"], row.get("place", "")
        if not row["placed"]:
            # The reason has the place's line, since it has no place.
            verdict, _, place = verdict.partition(" (")
            place = place.replace(")", "", 1)
        cells.append(Cell(row["photo"], _small(load(photo.name)), verdict, place, level))
    for line in report["skipped"]:
        file, _, reason = line.partition(": ")
        cells.append(Cell(Path(file).name, None, "skipped", reason, 2))
    title = f"{report['placed']} of {len(photos)} photos placed"
    if "capture" in report:
        title += f", {report['capture']}"
    draw_contact_sheet(root / SHEET, title, cells)
    write_json(root / REPORT, {**report, "command": typed_command()})


def draw_scene(
    root: Path,
    model: pycolmap.Reconstruction,
    exported: Exported,
    photos: Sequence[Photo],
    load: Load,
) -> None:
    """Write cameras.png of the exported model."""
    names = {index: name for name, index in _order(photos, exported).items()}
    thumbnails = [_small(load(names[i])) for i in range(len(exported.names))]
    points = list(model.points3D.values())
    draw_cameras(
        root / CAMERAS,
        exported.poses,
        exported.pinholes,
        thumbnails,
        np.array([point.xyz for point in points]).reshape(-1, 3),
        np.array([point.color for point in points], dtype=np.uint8).reshape(-1, 3),
    )


def print_table(report: Mapping[str, Any]) -> None:
    """A line for each photo: what it is called, its features, its verdict, its place."""
    rows = report["photos"]
    width = max([len(row["photo"]) for row in rows] + [5])
    print(f"{'photo':<{width}}  {'sharp':>6}  {'stops':>5}  {'feat.':>5}  verdict, place")
    for row in rows:
        place = f" ({row['place']})" if row.get("place") else ""
        print(
            f"{row['photo']:<{width}}  {row['sharpness']:6.3f}  {row['exposure_stops']:5.1f}  "
            f"{row['features']:5d}  {row['verdict']}{place}"
        )
    lost = [row["photo"] for row in rows if not row["placed"]]
    if lost:
        print(f"not placed: {', '.join(lost)}")
    for line in report["skipped"]:
        print(f"skipped: {line}")


def describe_place(poses: Poses, index: int, kind: str) -> str:
    """Where a camera stands, in words: direction and height, or sideways and up."""
    x, y, z = poses[index, :, 3]
    if kind == "forward-facing":
        across, up = x - poses[:, 0, 3].mean(), z - poses[:, 2, 3].mean()
        side, level = "right" if across >= 0 else "left", "up" if up >= 0 else "down"
        return f"{abs(across):.2f} {side}, {abs(up):.2f} {level}"
    degrees = math.degrees(math.atan2(y, x)) % 360
    return f"at {degrees:.0f}°, height {z:.2f}, distance {math.sqrt(x * x + y * y + z * z):.2f}"


def _order(photos: Sequence[Photo], exported: Exported) -> dict[str, int]:
    """Index in the scene of each placed photo, by the name it was solved under."""
    index = {name: i for i, name in enumerate(exported.names)}
    found = {}
    for photo in photos:
        flat = photo.name.replace("/", "_").replace("\\", "_")
        for name in (flat, f"{Path(flat).stem}.png"):
            if name in index:
                found[photo.name] = index[name]
                break
    return found


def _small(photo: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "small_h small_w 3"]:
    factor = 320 / max(photo.shape[:2])
    return cv2.resize(photo, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
