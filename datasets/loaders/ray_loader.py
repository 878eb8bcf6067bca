"""Training batches: pixels of all photos in random order, cast to rays as they are needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from datasets.loaders.selection import select
from datasets.loaders.shuffle import Shuffle
from datasets.photos import Photos, locate
from geometry.cameras import Cameras
from geometry.rays import Bounds, Rays, cast_rays

# Rays made at once, by a processor and by a GPU: a step's few would spend their time in calls.
_BLOCK, _BLOCK_OF_GPU = 1 << 16, 1 << 20


@dataclass(frozen=True)
class RayBatch:
    """Rays and the colours that their pixels show, in [0, 1].

    alpha is the opacity of the pixels, where it is known; colours are before the scene's
    background. pixels are their columns x and rows y. `end` is the loader's position after this
    batch.
    weight: of this batch's mean in the mean over the batches of all processes in the same step;
    1 where these have as many rays.
    """

    rays: Rays
    rgbs: Float[Tensor, "ray 3"]
    pixels: Int[Tensor, "ray 2"]
    alpha: Float[Tensor, "ray"] | None = None
    end: int = 0
    weight: float = 1.0

    def to(self, device: torch.device | str) -> RayBatch:
        alpha = None if self.alpha is None else self.alpha.to(device)
        rgbs, pixels = self.rgbs.to(device), self.pixels.to(device)
        return RayBatch(self.rays.to(device), rgbs, pixels, alpha, self.end, self.weight)

    def seen_by(self, cameras: Cameras, bounds: Bounds) -> Rays:
        """The rays through the same pixels of other cameras."""
        return cast_rays(cameras, bounds, self.rays.camera_indices, *self.pixels.unbind(1))

    def over(self, background: Float[Tensor, "ray 3"], instead_of: float) -> Float[Tensor, "ray 3"]:
        """The colours before another background, where the opacity of the pixels is known.

        Args:
            instead_of: grey level of the scene's own, which the colours are before.
        """
        if self.alpha is None:
            return self.rgbs
        return self.rgbs + (1 - self.alpha[:, None]) * (background - instead_of)


class RayLoader:
    """Batches of random rays; an epoch is one pass over all pixels.

    A batch depends on the seed and the position alone, so that a resumed run sees what it would
    have seen; N processes with a batch of B rays each see in a step what one process with N * B
    rays would see. Memory is that of the uint8 photos and of one block of rays.

    Args:
        photos, cameras: of the training views, in the same order.
        bounds: the sampled part of the rays.
        batch_size: rays per batch and process; it may be changed between batches where `endless`.
        seed: of the order.
        device: where the rays are made.
        rank, world_size: this process's share of each pass.
        endless: pass follows pass, and all batches are whole.
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
        endless: bool = False,
    ) -> None:
        self.pixels = photos.pixels.to(device)
        self.alpha = None if photos.alpha is None else photos.alpha.to(device)
        self.offsets = photos.offsets.to(device)
        self.widths = photos.widths.to(device)
        self.cameras = cameras.to(device)
        self.bounds = bounds
        self.batch_size, self.seed, self.device = batch_size, seed, torch.device(device)
        self.rank, self.world_size, self.endless = rank, world_size, endless
        self.position = 0  # pixels that all processes have seen; set it to go on from there
        self.allowed = None if photos.valid is None else select(photos.valid.to(device))
        self.pixel_count = len(self.pixels if self.allowed is None else self.allowed)

    def __len__(self) -> int:
        """Batches in an epoch; the last may be smaller."""
        if self.endless:
            return 1 << 40
        return -(-self.pixel_count // (self.batch_size * self.world_size))

    @staticmethod
    def batches(photos: Photos, batch_size: int) -> int:
        """Batches in an epoch over these photos, by all processes together."""
        count = len(photos.pixels) if photos.valid is None else int(photos.valid.sum())
        return -(-count // batch_size)

    def __iter__(self) -> Iterator[RayBatch]:
        """The rest of the current epoch, or batches for ever."""
        yield from self._pass()
        while self.endless:
            yield from self._pass()

    def _pass(self) -> Iterator[RayBatch]:
        epoch, done = divmod(self.position, self.pixel_count)
        block = _BLOCK if self.device.type == "cpu" else _BLOCK_OF_GPU
        shuffle = Shuffle(self.pixel_count, seed=self.seed + 7919 * epoch)
        while done < self.pixel_count:
            size = self.batch_size
            stride = size * self.world_size
            left = self.pixel_count - done
            whole = left // stride if self.endless else -(-left // stride)
            if whole == 0 and done > 0:
                done = self.pixel_count  # too few for a batch of an endless loader
                self.position = (epoch + 1) * self.pixel_count
                break
            count = max(1, min(whole, block // size))
            batch = torch.arange(count, device=self.device)[:, None] * stride
            within = torch.arange(size, device=self.device) + self.rank * size
            place = (done + batch + within).reshape(-1)
            # The last batch of the epoch ends with the pixels; every process keeps one at least.
            inside = place < self.pixel_count
            sizes, weights = [size] * count, [1.0] * count
            rest = left - (count - 1) * stride
            if rest < stride and not self.endless:
                own = int(inside[-size:].sum())
                sizes[-1], weights[-1] = max(1, own), own * self.world_size / rest
            rays, rgbs, pixels, alpha = self._cast(shuffle(place[: sum(sizes)] % self.pixel_count))
            first = 0
            for length, weight in zip(sizes, weights, strict=True):
                if self.batch_size != size:
                    break
                done = min(done + stride, self.pixel_count)
                self.position = epoch * self.pixel_count + done
                part = slice(first, first + length)
                first += length
                opacity = None if alpha is None else alpha[part]
                yield RayBatch(rays[part], rgbs[part], pixels[part], opacity, self.position, weight)

    def draw(self, count: int, generator: torch.Generator) -> Rays:
        """Rays of random training pixels, with replacement."""
        index = torch.randint(self.pixel_count, (count,), generator=generator, device=self.device)
        return self._cast(index)[0]

    def _cast(self, index: Tensor) -> tuple[Rays, Tensor, Tensor, Tensor | None]:
        if self.allowed is not None:
            index = self.allowed[index]
        image, x, y = locate(index, self.offsets, self.widths)
        rays = cast_rays(self.cameras, self.bounds, image, x, y)
        alpha = None if self.alpha is None else self.alpha[index].float().div_(255)
        return rays, self.pixels[index].float().div_(255), torch.stack([x, y], dim=1), alpha
