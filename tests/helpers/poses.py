"""Random camera poses."""

from __future__ import annotations

import torch
from torch import Tensor


def random_pose(count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    q, _ = torch.linalg.qr(torch.randn(count, 3, 3, generator=generator, dtype=torch.float64))
    q = q * torch.linalg.det(q)[:, None, None]
    t = torch.randn(count, 3, 1, generator=generator, dtype=torch.float64)
    bottom = torch.tensor([[[0.0, 0.0, 0.0, 1.0]]], dtype=torch.float64).expand(count, 1, 4)
    return torch.cat([torch.cat([q, t], dim=2), bottom], dim=1)
