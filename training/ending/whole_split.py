"""The validation at the end of a training: whole views, measured as eval.py measures them."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from evaluation.held_out import HeldOutFit
from evaluation.protocol import Protocol, mean_of, measure_view
from evaluation.views import View, render_view

from ..distributed.processes import all_gather, any_process, rank, world_size
from ..system import RadianceSystem


@dataclass(frozen=True)
class ValidationResult:
    """Means over views of the validation split.

    Attributes:
        psnr, ssim: in dB; from -1 to 1.
        views: that were measured.
        of: views that the split has.
        first: the split's first view, where this process rendered it.
    """

    psnr: float
    ssim: float
    views: int
    of: int
    first: View | None

    def __str__(self) -> str:
        some = "all" if self.views == self.of else f"{self.views} of the"
        return f"val PSNR {self.psnr:.2f} dB over {some} {self.of} views"


def validate_whole(system: RadianceSystem, protocol: Protocol, seconds: float) -> ValidationResult:
    """Measure the whole validation split, or as much of it as there is time for.

    Args:
        seconds: after which no further view is begun. One view at least is measured.
    """
    scene = system.scene
    fit = None
    if system.refinement is not None:
        cameras = system.refinement.corrected(
            scene.cameras.to(system.device), scene.splits["train"]
        )
        scene = replace(scene, cameras=cameras.to("cpu"))
        fit = HeldOutFit(scene, system.renderer, system.exposure, protocol.right_halves)
    render = system.spec.image_renderer(system.renderer)
    views = scene.splits["val"]
    # In an order in which any number of first ones is spread over the split.
    order = _spread(len(views))
    start = time.monotonic()
    own: list[tuple[int, float, float]] = []
    first = None
    for begin in range(0, len(order), world_size()):
        late = begin > 0 and time.monotonic() - start > seconds
        if any(any_process(late)):
            break
        if begin + rank() < len(order):
            number = order[begin + rank()]
            index = views[number]
            seen = scene if fit is None else fit.scene_for([index], system.device)
            cameras = seen.cameras.to(system.device)
            view = render_view(render, system.exposure, seen, cameras, index)
            photos = scene.photos([views[number]])
            mask = photos.mask(0)
            row = measure_view(
                view,
                photos.image(0).numpy(),
                None if mask is None else mask.numpy(),
                scene.background,
                protocol,
            )
            own.append((number, row["psnr"], row["ssim"]))
            first = view if number == 0 else first
    rows = sorted(row for part in all_gather(own) for row in part)
    mean = mean_of([{"psnr": psnr, "ssim": ssim} for _, psnr, ssim in rows])
    return ValidationResult(mean["psnr"], mean["ssim"], len(rows), len(views), first)


def _spread(count: int) -> list[int]:
    """The numbers below count in an order whose beginnings are spread evenly: a van der Corput
    sequence (0, 1/2, 1/4, 3/4, ...), each number once."""
    order: dict[int, None] = {}
    number = 0
    while len(order) < count:
        value, share, digits = 0.0, 0.5, number
        while digits:
            value, share, digits = value + share * (digits & 1), share / 2, digits >> 1
        order[int(value * count)] = None
        number += 1
    return list(order)
