"""The paper's network."""

from __future__ import annotations

from dataclasses import dataclass

from errors import require
from models.point_model import SamplingConfig, point_model
from models.spec import SceneInfo

from .network import NeRF


@dataclass(frozen=True)
class NeRFConfig(SamplingConfig):
    """Options of the paper's network."""

    netdepth: int = 8
    """layers of the network"""
    netwidth: int = 256
    """channels of each layer"""
    netskip: int = 4
    """layer (from 0) whose input the position joins again"""
    N_emb_xyz: int = 10
    """frequencies of the position's encoding"""
    N_emb_dir: int = 4
    """frequencies of the direction's encoding"""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("netdepth", "netwidth"):
            require(getattr(self, name) > 0, f"--{name} must be positive")
        for name in ("N_emb_xyz", "N_emb_dir"):
            require(getattr(self, name) >= 0, f"--{name} must not be negative")


def _build(config: NeRFConfig, scene: SceneInfo) -> NeRF:
    return NeRF(
        config.netdepth, config.netwidth, config.N_emb_xyz, config.N_emb_dir, config.netskip
    )


SPEC = point_model(
    "nerf",
    "the paper's network",
    NeRFConfig,
    _build,
    two_networks=True,
    compiles=True,
)
