"""A picture from coarse to fine: pixels whose neighbours agree need no ray of their own.

First every `stride`-th pixel of every `stride`-th row is rendered, then the pixels half-way
between them, and so on. Where what is seen runs straight on, a pixel is the mean of those that it
lies between; where it bends (at edges, in textures) it is rendered. Second differences tell, of
which the mean is off by an eighth.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .output import RenderOutput

# Second differences up to these are interpolated over: of colours and opacity, in [0, 1], and of
# depth in shares of it. An error of a colour is then a level or so, of 255.
_CURVATURE, _DEPTH_CURVATURE = 8 / 255, 0.08
# Diagonal neighbours are farther apart.
_DIAGONAL = 1 / 1.5

# The channels of a picture, as the functions here have it: red, green, blue, opacity, depth.
Planes = Float[Tensor, "5 row column"]
Render = Callable[[Int[Tensor, "pixel"], Int[Tensor, "pixel"]], RenderOutput]


@torch.no_grad()
def coarse_to_fine(
    render: Render, size: tuple[int, int], stride: int, device: torch.device
) -> RenderOutput:
    """A picture of all pixels, row by row, most of which are interpolated where that shows nothing.

    Args:
        render: what pixels (x, y) show. Some lie beyond the right or the lower edge, by less than
            the stride.
        size: (width, height) of the picture.
        device: of the pixels' numbers.
        stride: a power of two; nothing that is to be seen may be narrower. 1 renders every pixel.
    """
    width, height = size
    columns, rows = (-(-(side - 1) // stride) + 1 for side in size)
    every = torch.arange(rows * columns, device=device)
    planes = _planes(_at(render, every, columns, stride)).view(5, rows, columns)
    while stride > 1:
        stride //= 2
        curved = curved_pixels(planes)
        planes, needed = upsample(planes), finer_neighbours(curved)
        if stride == 1:  # the last ones, and none that is not shown
            planes, needed = planes[:, :height, :width].contiguous(), needed[:height, :width]
        chosen = needed.flatten().nonzero().squeeze(1)
        if len(chosen):
            found = _at(render, chosen, planes.shape[2], stride)
            planes.view(5, -1).index_copy_(1, chosen, _planes(found))
    rgb, opacity, depth = planes[:, :height, :width].flatten(1).split([3, 1, 1])
    return RenderOutput(rgb.t().contiguous(), depth[0], opacity[0])


def _at(render: Render, chosen: Tensor, columns: int, stride: int) -> RenderOutput:
    y = torch.div(chosen, columns, rounding_mode="floor")
    return render((chosen - y * columns) * stride, y * stride)


def _planes(output: RenderOutput) -> Float[Tensor, "5 pixel"]:
    return torch.cat([output.rgb.t(), output.opacity[None], output.depth[None]])


def curved_pixels(planes: Planes) -> Bool[Tensor, "row column"]:
    """Where what is seen does not run straight on from pixel to pixel, in any direction."""
    padded = _extrapolate(_extrapolate(planes, 1), 2)
    rows, columns = planes.shape[1:]

    def moved(down: int, right: int) -> Tensor:
        return padded[:, 1 + down :, 1 + right :][:, :rows, :columns]

    # Depths differ from one another as the place is near or far.
    limit = torch.cat(
        [planes.new_full((4, rows, columns), _CURVATURE), _DEPTH_CURVATURE * planes[4:]]
    )
    twice = 2 * planes
    curved = torch.zeros(rows, columns, dtype=torch.bool, device=planes.device)
    for down, right, factor in ((0, 1, 1.0), (1, 0, 1.0), (1, 1, _DIAGONAL), (1, -1, _DIAGONAL)):
        difference = (moved(down, right) + moved(-down, -right)).sub_(twice).abs_().mul_(factor)
        curved |= (difference > limit).any(dim=0)
    return curved


def _extrapolate(planes: Tensor, axis: int) -> Tensor:
    """With one pixel more at both ends of an axis, which bends nowhere there."""
    count = planes.shape[axis]
    first, last = planes.narrow(axis, 0, 1), planes.narrow(axis, count - 1, 1)
    if count == 1:
        return torch.cat([first, planes, last], dim=axis)
    before = 2 * first - planes.narrow(axis, 1, 1)
    return torch.cat([before, planes, 2 * last - planes.narrow(axis, count - 2, 1)], dim=axis)


def upsample(planes: Planes) -> Float[Tensor, "5 finer_row finer_column"]:
    """The same at half the distance: means of the two or four pixels around the new ones."""
    channels, rows, columns = planes.shape
    finer = planes.new_empty(channels, 2 * rows - 1, 2 * columns - 1)
    finer[:, ::2, ::2] = planes
    finer[:, 1::2, ::2] = (planes[:, 1:] + planes[:, :-1]).mul_(0.5)
    known = finer[:, :, ::2]
    finer[:, :, 1::2] = (known[:, :, 1:] + known[:, :, :-1]).mul_(0.5)
    return finer


def finer_neighbours(curved: Bool[Tensor, "row column"]) -> Bool[Tensor, "finer_row finer_column"]:
    """The pixels half-way that lie beside one that is marked."""
    rows, columns = curved.shape
    finer = curved.new_zeros(2 * rows - 1, 2 * columns - 1)
    finer[1::2, ::2] = curved[1:] | curved[:-1]
    across = curved[:, 1:] | curved[:, :-1]
    finer[::2, 1::2] = across
    finer[1::2, 1::2] = across[1:] | across[:-1]
    return finer
