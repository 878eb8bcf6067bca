"""TensoRF: planes and lines (Chen et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass

from errors import require
from models.point_model import Sampler, SamplingConfig, SamplingRecipe, point_model
from models.rendering.occupancy import OccupancyMarchConfig
from models.spec import OPTIMIZER_OPTIONS, SceneInfo

from .field import TensoRF

# The paper's 300^3: planes, gradients and moments are 0.3 GB then.
_FINEST = 300


@dataclass(frozen=True)
class TensoRFConfig(SamplingConfig):
    """Options of TensoRF."""

    sampler: Sampler = "occupancy"
    """how rays are sampled: in a coarse and a fine pass, or where something is"""
    resolution: int | None = None
    """points along the longest side of the scene at the end; by default as fine as the photos'
    pixels, within memory"""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.resolution is None or self.resolution >= 16,
            f"--resolution must be at least 16, not {self.resolution}",
        )


def _build(config: TensoRFConfig, scene: SceneInfo) -> TensoRF:
    region = scene.region
    cells = (2 if region.unbounded else 1) * region.pixels_across
    return TensoRF(region, config.resolution or max(16, min(int(cells), _FINEST)))


SPEC = point_model(
    "tensorf",
    "TensoRF's planes and lines",
    TensoRFConfig,
    _build,
    # Its density changes sooner than a network's, and is nowhere zero: it would spend most of its
    # time on colours of samples that weigh nothing.
    recipe=SamplingRecipe(OccupancyMarchConfig(training_weight_threshold=1e-4), occupancy_every=4),
    opaque_far=False,
    batch_size=4096,
    grows=True,
    adapts_batch=lambda config: config.sampler == "occupancy",
    random_background=True,
    # Its tables' interpolation has no gradient with respect to places.
    unused_options=OPTIMIZER_OPTIONS | {"noise_std", "compile", "refine_poses"},
)
