"""The training of a 2D neural image."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from pytorch_lightning import LightningModule
from torch import Tensor

from errors import UserError
from learn.image2d.networks import image_models, paint
from learn.image2d.options import FitOptions
from learn.image2d.photo import PixelBatch, RandomPixels

# Losses are looked at this often: each look waits for a GPU.
LOG_EVERY = 10


class ImageSystem(LightningModule):
    """A network, the photo that it learns, and how.

    Args:
        options: of the fit.
        image: the photo.
    """

    def __init__(self, options: FitOptions, image: UInt8[Tensor, "height width 3"]) -> None:
        super().__init__()
        self.options = options
        height, width = image.shape[:2]
        self.network = image_models[options.model](options, width, height)
        self.register_buffer("image", image, persistent=False)
        # Of each step; NaN until it is done.
        self.register_buffer("losses", torch.full((options.iterations,), torch.nan), False)

    image: Tensor
    losses: Tensor

    def forward(self, xy: Float[Tensor, "batch 2"]) -> Float[Tensor, "batch 3"]:
        """Colours in [0, 1] at positions in [0, 1]."""
        return self.network(xy)

    def paint(self, width: int, height: int) -> UInt8[Tensor, "height width 3"]:
        """The image as the network knows it now, at any resolution."""
        return paint(self.network, width, height, self.device)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        # The fused step is one pass over the parameters on a CPU or CUDA.
        fused = self.device.type in ("cpu", "cuda")
        return torch.optim.Adam(self.parameters(), lr=self.options.lr, fused=fused)

    def train_dataloader(self) -> RandomPixels:
        return RandomPixels(self.image, self.options.batch_size, self.options.seed)

    def training_step(self, batch: PixelBatch, batch_idx: int) -> Tensor:
        loss = F.mse_loss(self(batch.xy), batch.rgb)
        step = self.global_step
        self.losses[step] = loss.detach()
        if step % LOG_EVERY == 0 or step == self.options.iterations - 1:
            value = float(loss.detach())
            if value != value:
                raise UserError(
                    f"the loss is not a number at iteration {step}: try a smaller --lr than "
                    f"{self.options.lr:g}"
                )
            psnr = -10 * torch.log10(loss.detach())
            self.log_dict({"train/loss": loss.detach(), "train/psnr": psnr})
        return loss
