"""Positional encoding (NeRF, section 5.1, equation 4)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Embedding(nn.Module):
    """x to (x, sin x, cos x, sin 2x, cos 2x, ..., sin 2^(N-1) x, cos 2^(N-1) x).

    As in the paper's implementation, and unlike its equation, x itself is kept and there is no
    factor of pi.

    Args:
        in_channels: channels of x.
        N_freqs: number of frequencies N, powers of two.
    """

    freq_bands: Tensor

    def __init__(self, in_channels: int, N_freqs: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.N_freqs = N_freqs
        self.out_channels = in_channels * (2 * N_freqs + 1)
        freq_bands = 2.0 ** torch.arange(N_freqs, dtype=torch.float32)
        self.register_buffer("freq_bands", freq_bands, persistent=False)

    def forward(self, x: Float[Tensor, "*batch in"]) -> Float[Tensor, "*batch out"]:
        """Embed the last dimension, of in_channels, into out_channels."""
        angles = x.unsqueeze(-2) * self.freq_bands.to(x.dtype)[:, None]  # (..., N, in)
        waves = torch.stack([angles.sin(), angles.cos()], dim=-2)  # (..., N, 2, in)
        return torch.cat([x, waves.flatten(-3)], dim=-1)
