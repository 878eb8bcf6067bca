"""Fit a network to one image, or a sweep of networks: python fit_image.py --image photo.jpg."""

from __future__ import annotations

if __name__ == "__main__":
    import interrupts  # noqa: F401 (before the imports that take time)

from cli import parse
from errors import run_command
from learn.image2d.fit import fit, paint_again
from learn.image2d.options import FitOptions
from learn.image2d.sweep import sweep


def main() -> None:
    options = parse(FitOptions)
    if options.ckpt_path is not None:
        paint_again(options)
    elif options.sweep:
        sweep(options)
    else:
        fit(options)


if __name__ == "__main__":
    run_command(main)
