"""Published PSNR of known scenes, to stand beside our own figures.

From the papers of NeRF, JaxNeRF, TensoRF and instant-ngp.
"""

from __future__ import annotations

import re
from typing import Any

_BLENDER = {
    "scenes": ("chair", "drums", "ficus", "hotdog", "lego", "materials", "mic", "ship"),
    "NeRF": (33.00, 25.01, 30.13, 36.18, 32.54, 29.62, 32.91, 28.65),
    "JaxNeRF": (34.08, 25.03, 30.43, 36.92, 33.28, 29.91, 34.53, 29.36),
    "TensoRF": (35.76, 26.01, 33.99, 37.41, 36.46, 30.12, 34.61, 30.77),
    "instant-ngp (black background)": (35.00, 26.02, 33.51, 37.40, 36.39, 29.78, 36.22, 31.10),
}
_LLFF = {
    "scenes": ("room", "fern", "leaves", "fortress", "orchids", "flower", "trex", "horns"),
    "NeRF": (32.70, 25.17, 20.92, 31.16, 20.36, 27.40, 26.80, 27.45),
    "JaxNeRF": (33.04, 24.83, 21.23, 31.76, 20.27, 28.07, 27.42, 28.10),
    "TensoRF": (32.35, 25.27, 21.30, 31.36, 19.87, 28.60, 26.97, 28.14),
}
_SETTINGS = {"blender": (_BLENDER, (800, 800), 200), "llff": (_LLFF, (1008, 756), None)}


def published_psnr(
    dataset_name: str, scene_name: str, split: str, size: tuple[int, int], views: int, holdout: int
) -> dict[str, Any] | None:
    """The published figures of a scene, and in what this measurement differs from theirs.

    Args:
        dataset_name, scene_name: a folder called "lego" or "lego200" is taken for lego.
        split, size, views, holdout: of this measurement.

    Returns:
        {"psnr": {method: dB}, "differs": [...]}; None where the scene is not known.
    """
    if dataset_name not in _SETTINGS or split != "test":
        return None
    table, usual_size, usual_views = _SETTINGS[dataset_name]
    scene = re.split(r"[\d_\-. ]", scene_name.lower())[0]
    scenes = table["scenes"]
    if scene not in scenes:
        return None
    differs = []
    if size != usual_size:
        differs.append(f"{size[0]}x{size[1]} pixels, theirs {usual_size[0]}x{usual_size[1]}")
    if usual_views is not None and views != usual_views:
        differs.append(f"{views} test views, theirs {usual_views}")
    if dataset_name == "llff" and holdout != 8:
        differs.append(f"every {holdout}th view held out, theirs every 8th")
    column = scenes.index(scene)
    return {
        "psnr": {name: row[column] for name, row in table.items() if name != "scenes"},
        "differs": differs,
    }
