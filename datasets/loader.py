"""Training batches: pixels of all photos in random order, cast to rays as they are needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from .cameras import Cameras
from .images import Photos, locate
from .rays import Bounds, Rays, cast_rays
from .shuffle import Shuffle

# Rays made at once: a step's few would spend their time in calls.
_BLOCK = 65536


@dataclass(frozen=True)
class RayBatch:
    """Rays and the colours that their pixels show, in [0, 1].

    weight: of this batch's mean in the mean over the batches of all processes in the same step;
    1 where these have as many rays.
    """

    rays: Rays
    rgbs: Float[Tensor, "ray 3"]
    weight: float = 1.0

    def to(self, device: torch.device | str) -> RayBatch:
        return RayBatch(self.rays.to(device), self.rgbs.to(device), self.weight)


class RayLoader:
    """Batches of random rays; an epoch is one pass over all pixels.

    The batch of a step depends on the seed and the step alone, so that a resumed run sees what
    it would have seen; N processes with a batch of B rays each see in a step what one process
    with N * B rays would see. Memory is that of the uint8 photos and of one block of rays.

    Args:
        photos, cameras: of the training views, in the same order.
        bounds: the sampled part of the rays.
        batch_size: rays per batch and process.
        seed: of the order.
        device: where the rays are made.
        rank, world_size: this process's share of each pass.
    """

    def __init__(
        self,
        photos: Photos,
        cameras: Cameras,
        bounds: Bounds,
        batch_size: int,
        seed: int = 0,
        device: torch.device | str = "cpu",
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.pixels = photos.pixels.to(device)
        self.offsets = photos.offsets.to(device)
        self.widths = photos.widths.to(device)
        self.cameras = cameras.to(device)
        self.bounds = bounds
        self.batch_size, self.seed, self.device = batch_size, seed, torch.device(device)
        self.rank, self.world_size = rank, world_size
        self.step = 0  # of the next batch; set it to go on from there
        self.allowed = None  # indices of the pixels that no mask leaves out
        if photos.valid is not None:
            self.allowed = photos.valid.nonzero().squeeze(1).to(device)
        self.pixel_count = len(self.pixels if self.allowed is None else self.allowed)

    def __len__(self) -> int:
        """Batches in an epoch; the last may be smaller."""
        return -(-self.pixel_count // (self.batch_size * self.world_size))

    @staticmethod
    def batches(photos: Photos, batch_size: int) -> int:
        """Batches in an epoch over these photos, by all processes together."""
        count = len(photos.pixels) if photos.valid is None else int(photos.valid.sum())
        return -(-count // batch_size)

    def __iter__(self) -> Iterator[RayBatch]:
        """The rest of the current epoch."""
        epoch, first = divmod(self.step, len(self))
        shuffle = Shuffle(self.pixel_count, seed=self.seed + 7919 * epoch)
        stride = self.batch_size * self.world_size
        per_block = max(1, _BLOCK // self.batch_size)
        for block in range(first, len(self), per_block):
            steps = torch.arange(block, min(block + per_block, len(self)), device=self.device)
            in_batch = (
                torch.arange(self.batch_size, device=self.device) + self.rank * self.batch_size
            )
            position = (steps[:, None] * stride + in_batch).reshape(-1)
            # The last batch of the epoch ends with the pixels; every process keeps one at least.
            inside = position < self.pixel_count
            sizes = [self.batch_size] * len(steps)
            weights = [1.0] * len(steps)
            rest = self.pixel_count - int(steps[-1]) * stride
            if rest < stride:
                own = int(inside[-self.batch_size :].sum())
                weights[-1] = own * self.world_size / rest
                sizes[-1] = max(1, own)
                position = position[: sum(sizes)] % self.pixel_count
            rays, rgbs = self._cast(shuffle(position))
            batches = zip(_split(rays, sizes), rgbs.split(sizes), weights, strict=True)
            for batch, colours, weight in batches:
                self.step += 1
                yield RayBatch(batch, colours, weight)

    def _cast(self, index: Tensor) -> tuple[Rays, Tensor]:
        if self.allowed is not None:
            index = self.allowed[index]
        image, x, y = locate(index, self.offsets, self.widths)
        rays = cast_rays(self.cameras, self.bounds, image, x, y)
        return rays, self.pixels[index].float().div_(255)


def _split(rays: Rays, sizes: list[int]) -> Iterator[Rays]:
    start = 0
    for size in sizes:
        yield rays[start : start + size]
        start += size
