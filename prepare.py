"""From photos or a video to a scene that train.py takes.

python prepare.py --input photos/ --root_dir scenes/pig
"""

from __future__ import annotations

if __name__ == "__main__":
    import interrupts  # noqa: F401 (before the imports that take time)

from pathlib import Path

from capture.checks.report import CAMERAS, REPORT, SHEET, print_table
from capture.config import PrepareConfig
from capture.pipeline import prepare
from capture.solve.tag_scene import NPZ
from cli import parse
from errors import run_command


def main() -> None:
    options = parse(PrepareConfig)
    report = prepare(options)
    print_table(report)
    root = Path(options.root_dir)
    print(f"{report['placed']} of {len(report['photos'])} photos placed, {report['capture']}")
    lost = len(report["photos"]) - report["placed"]
    good = f"{lost} could not be placed; the others are good." if lost else "The capture is good."
    for sentence in report["advice"] or [good]:
        print(sentence)
    also = f", {NPZ}" if options.aruco else ""
    print(f"wrote {root}: images/, sparse/0/, poses_bounds.npy, transforms.json{also}")
    print(f"look at {root / CAMERAS} and {root / SHEET}; all figures are in {root / REPORT}")
    name = root.resolve().name
    print(
        f"next: python train.py --model voxels --max_time 300 --dataset_name llff "
        f"--root_dir {root} --exp_name {name}"
    )


if __name__ == "__main__":
    run_command(main)
