"""Front to back: rays are followed a part at a time, for as long as light is left on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Result = TypeVar("Result")


def march_front_to_back(
    n_rays: int,
    evaluate: Callable[[int, Tensor, Tensor], tuple[Tensor, Result]],
    unfinished: Callable[[int, Tensor], Bool[Tensor, "alive"]],
    early_stop_eps: float,
    device: torch.device,
) -> Iterator[tuple[Int[Tensor, "alive"], Float[Tensor, "alive"], Result]]:
    """Evaluate part after part of the rays that can still be seen along.

    Args:
        n_rays: number of rays.
        evaluate: of a part's number, the rays that are left and the transmittance at the part's
            beginning; returns the transmittance of the part itself (alive,), and any result.
        unfinished: of a part's number and rays, which of them reach into that part.
        early_stop_eps: a ray ends where no more transmittance than this is left (nerfacc's name).

    Yields:
        The rays that were left, the transmittance at the beginning of their part, the result.
    """
    transmittance = torch.ones(n_rays, device=device)
    alive = torch.arange(n_rays, device=device)
    number = 0
    alive = alive[unfinished(number, alive)]
    while len(alive):
        before = transmittance[alive]
        through, result = evaluate(number, alive, before)
        yield alive, before, result
        after = before * through
        transmittance[alive] = after
        number += 1
        alive = alive[after > early_stop_eps]
        alive = alive[unfinished(number, alive)]
