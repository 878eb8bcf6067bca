"""Several runs beside each other: what differs between them, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reporting.rendered import Rendered
from reporting.run import Run

# Options that every run has its own of, or that change nothing of what it learns.
_APART = {
    *("exp_name", "ckpt_path", "root_dir", "dataset_name", "model", "prefixes_to_ignore"),
    *("save_top_k", "keep_epochs", "keep_steps", "keep_seconds", "snapshots", "no_restart"),
    *("val_every_steps", "val_views", "val_rays", "num_gpus", "accelerator"),
}


def differing(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Of each run the options in which the runs of the same model differ."""
    options = [run.record.get("options", {}) for run in runs]
    found = []
    for own in options:
        others = [o for o in options if o.get("model") == own.get("model")]
        found.append(
            {
                name: value
                for name, value in own.items()
                if name not in _APART and any(other.get(name) != value for other in others)
            }
        )
    return found


def labels(runs: Sequence[Run]) -> dict[str, str]:
    """Names of runs as they stand in figures: with what differs, where the scene is the same."""
    if len(runs) == 1:
        return {runs[0].name: runs[0].name}
    scenes = {run.record.get("scene") for run in runs}
    models = {run.record.get("options", {}).get("model") for run in runs}
    found = {}
    for run, options in zip(runs, differing(runs), strict=True):
        words = [f"{name} {_shown(value)}" for name, value in options.items()]
        if len(models) > 1:
            words.insert(0, str(run.record.get("options", {}).get("model", "unknown")))
        if len(scenes) > 1:
            words = []
        told = ", ".join(words)
        found[run.name] = f"{run.name} ({told})" if told and len(told) <= 40 else run.name
    return found


def table(
    runs: Sequence[Run], rendered: dict[str, Rendered], checkpoints: dict[str, Path]
) -> list[dict[str, Any]]:
    """One row a run.

    Args:
        rendered: of the runs whose views could be rendered here.
        checkpoints: of each run.
    """
    rows = []
    for run, options in zip(runs, differing(runs), strict=True):
        views = rendered.get(run.name)
        quality, source = _quality(run, views)
        seconds = (run.metrics or {}).get("seconds_per_frame") or (views and views.seconds)
        path = checkpoints.get(run.name)
        rows.append(
            {
                "name": run.name,
                "scene": run.record.get("scene", ""),
                "model": run.record.get("options", {}).get("model", ""),
                "options": ", ".join(f"--{n} {_shown(v)}" for n, v in options.items()) or "same",
                "time": run.record.get("seconds"),
                "psnr": quality.get("psnr"),
                "ssim": quality.get("ssim"),
                "source": source,
                "seconds_per_frame": seconds,
                "megabytes": path.stat().st_size / 1e6 if path and path.is_file() else None,
            }
        )
    return rows


def _quality(run: Run, views: Rendered | None) -> tuple[dict[str, Any], str]:
    """PSNR and SSIM as far as they are known, and of what they are."""
    if run.metrics and "mean" in run.metrics:
        split = "" if run.measured is None else f"{run.measured.name} views, "
        return run.metrics["mean"], f"{split}eval.py"
    if views is not None:
        few = {"psnr": views.mean_psnr, "ssim": views.mean_ssim}
        return few, f"{len(views.names)} views, rendered for this report"
    if "validation" in run.record:
        return run.record["validation"], "validation at the end"
    return {}, "not measured"


def _shown(value: Any) -> str:
    if value is None:
        return "default"
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
