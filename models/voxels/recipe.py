"""How a voxel field is trained and rendered: what suits an object, a forward-facing scene and an
unbounded one.

Chosen on photos that were split from training photos; docs/ablations.md has what each brings. A
checkpoint keeps the recipe that it was trained with.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from geometry.region import Region

from .regularisation import Decay, TotalVariation


@dataclass(frozen=True)
class Stage:
    """A resolution, and how long it lasts.

    Args:
        coarseness: edge of its cells, in those of the last stage.
        steps: it lasts so many at least,
        until: and to this share of the training.
        samples: per step of a processor (see `scaled_for_device` for a GPU); the number of rays
            follows.
    """

    coarseness: float
    steps: int
    until: float
    samples: int


@dataclass(frozen=True)
class Recipe:
    """What differs from kind to kind of scene.

    Args:
        stages: from coarse to fine.
        density, features: total variation of the tables.
        smoothing_growth: power of a step's samples that these, and the decays, grow with. A GPU's
            steps have more samples, but Adam's are as long: by the samples (1), smoothing gains on
            what is learned. Against fog that is right; on an object, which has many photos, it
            costs detail.
        view_dependence: factor of the shading network's input of directions. Where photos are few,
            what colour owes to the direction is what fog would explain.
        near_gradient_scaling: within this distance of a camera, in halves of the region, the
            density's gradient falls with its square: there a cell is hit by more rays, of fewer
            cameras (Philip and Deschaintre 2023, Floaters No More). 0 is off.
        noise: standard deviation, times --noise_std, of the noise on densities before their
            activation in training (NeRF, appendix A). Solid and empty cells show the same with it;
            fog, which owes its colour to a precise density, does not.
        density_decay: unsupervised cells' density decays to zero.
        feature_decay: unsupervised cells' features decay to grey. Where few photos look, colours
            would cancel one another out along their rays, and glow along all others.
        prune_threshold: cells stay if a ray owes them, or a neighbour, more than this weight.
        distortion: weight of the distortion loss (mip-NeRF 360, equation 15), which penalises the
            spread of weights along a ray.
        step: between the samples of a picture, in cells. Training takes one sample a cell, at
            random; what it averages over thousands of steps, a picture shows at once.
        early_stop_eps: a ray of a picture ends where no more transmittance is left.
        weight_threshold: samples of a picture with less weight have no part in its features.
        known_background: rays that meet nothing show the scene's background; without one, the
            fitted background harmonics.
    """

    stages: tuple[Stage, ...]
    density: TotalVariation
    features: TotalVariation
    smoothing_growth: float = 1.0
    view_dependence: float = 1.0
    near_gradient_scaling: float = 0.0
    noise: float = 0.0
    density_decay: Decay | None = None
    feature_decay: Decay | None = None
    prune_threshold: float = 0.01
    distortion: float = 0.0
    step: float = 1.0
    early_stop_eps: float = 1e-3
    weight_threshold: float = 1e-3
    known_background: bool = True

    def __post_init__(self) -> None:
        if not 0.01 <= self.step <= 100:
            raise ValueError(f"pictures with samples {self.step} cells apart")

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Recipe:
        """The recipe that `dataclasses.asdict` made plain values of."""
        kept: dict[str, Any] = dict(values)
        for name in ("density", "features"):
            kept[name] = TotalVariation(**kept[name])
        for name in ("density_decay", "feature_decay"):
            kept[name] = None if kept[name] is None else Decay(**kept[name])
        kept["stages"] = tuple(Stage(**stage) for stage in kept["stages"])
        return Recipe(**kept)


OBJECT = Recipe(
    stages=(
        Stage(6.4, 200, 0.005, 12288),
        Stage(3.2, 300, 0.02, 16384),
        Stage(1.6, 1000, 0.05, 32768),
        Stage(1.0, 0, 1.0, 49152),
    ),
    density=TotalVariation(0.04, 1.0, 16),
    features=TotalVariation(0.02, 0.1, 32),
    smoothing_growth=0.5,
    step=0.67,
)
# Photos of a place, few of each thing: coarse for longer, and smooth.
_SLOW_STAGES = (
    Stage(6.4, 250, 0.03, 12288),
    Stage(3.2, 450, 0.1, 16384),
    Stage(1.6, 1000, 0.35, 32768),
    Stage(1.0, 0, 1.0, 49152),
)
_FEATURE_DECAY = Decay(0.1, 0.0, 32)
FORWARD_FACING = Recipe(
    stages=_SLOW_STAGES,
    density=TotalVariation(0.08, 1.0, 16),
    features=TotalVariation(0.04, 0.1, 32),
    view_dependence=0.3,
    noise=1.0,
    feature_decay=_FEATURE_DECAY,
    prune_threshold=0.03,
    known_background=False,
)
UNBOUNDED = replace(
    FORWARD_FACING,
    density=TotalVariation(0.12, 1.0, 16),
    features=TotalVariation(0.06, 0.1, 32),
    near_gradient_scaling=2.5,
    density_decay=Decay(3.2e-3, -8.0, 16),
)


def recipe_for(region: Region) -> Recipe:
    """The recipe of a region's kind of scene."""
    if region.unbounded:
        return UNBOUNDED
    return FORWARD_FACING if region.z_anisotropy > 1 else OBJECT
