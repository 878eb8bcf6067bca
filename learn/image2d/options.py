"""The options of fit_image.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from errors import UserError


@dataclass(frozen=True)
class FitOptions:
    """Fit a network to one image: position in, colour out."""

    image: str
    """the photo, of any size and mode"""
    model: Literal["mlp", "grid"] = "mlp"
    """mlp: positional encoding and --num_layers layers; grid: a multi-resolution grid of
    features and a tiny network, many times faster"""
    L: int = 10
    """mlp: frequencies of the positional encoding"""
    num_layers: int = 3
    """mlp: linear + ReLU layers before the last one"""
    width: int = 256
    """mlp: channels of each layer"""
    batch_size: int = 10_000
    """random pixels per step"""
    lr: float = 1e-2
    """learning rate of Adam"""
    iterations: int = 3000
    """steps"""
    seed: int = 0
    """seed of everything that is random"""
    max_size: int | None = None
    """the photo's longer side is reduced to this many pixels before learning"""

    snapshots: tuple[int, ...] = (0, 100, 200, 500, 700)
    """iterations whose reconstruction is shown; the last one always is"""
    gif_frames: int = 30
    """frames of the GIF of the image forming; 0 writes none"""
    render_scale: float | None = None
    """also paint the image at this many times its size"""
    ckpt_path: str | None = None
    """network.pt of an earlier fit: paint from it without learning"""
    out_dir: str | None = None
    """folder of the results; by default results/image/<name of the photo>"""

    sweep: tuple[str, ...] = ()
    """fit once for each combination, as in: lr=1e-2,1e-3,1e-5 num_layers=3,5,7 L=0,4,10"""
    jobs: int | None = None
    """fits of a sweep that run at once; by default one for each core, on a GPU one"""
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"] = "auto"
    """device; auto takes a GPU where there is one"""

    def __post_init__(self) -> None:
        for name in ("num_layers", "width", "batch_size", "iterations"):
            _require(getattr(self, name) > 0, f"--{name} must be positive")
        _require(0 <= self.L <= 30, f"--L must be between 0 and 30, not {self.L}")
        _require(0 < self.lr < float("inf"), f"--lr must be positive, not {self.lr}")
        for name in ("max_size", "jobs", "render_scale"):
            value = getattr(self, name)
            _require(value is None or value > 0, f"--{name} must be positive, not {value}")
        _require(self.gif_frames >= 0, "--gif_frames must not be negative")
        _require(
            all(step >= 0 for step in self.snapshots),
            "--snapshots must not be negative",
        )
        if self.ckpt_path is not None:
            _require(not self.sweep, "--ckpt_path paints one network; leave out --sweep")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UserError(message)
