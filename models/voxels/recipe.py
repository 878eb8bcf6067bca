"""How a voxel field is trained: what suits an object, a forward-facing and an unbounded scene.

Found on lego, fern and a toy on a floor; the photos that chose them were held out of training.
"""

from __future__ import annotations

from dataclasses import dataclass

from datasets.region import Region

from .decay import Decay
from .smoothing import Smoothing


@dataclass(frozen=True)
class Stage:
    """A resolution, and how long it lasts.

    Args:
        coarseness: edge of its cells, in those of the last stage.
        steps: it lasts so many at least,
        until: and to this share of the training.
        samples: per step of a processor (see `at_once` for a GPU); the number of rays follows.
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
        density, features: how the tables are smoothed.
        directions: factor of the shading network's input of directions. Where photos are few, what
            colour owes to the direction is what fog would explain.
        fade: within this distance of a camera, in halves of the region, the density's gradient
            falls with its square: there a cell is hit by more rays, of fewer cameras (Philip and
            Deschaintre 2023, Floaters No More). 0 is off.
        noise: standard deviation, times --noise_std, of what is added at random to densities before
            their activation, in training (NeRF, appendix A). Solid and empty cells show the same
            with it; fog, which owes its colour to a precise density, does not. After 3000 steps
            the toy had 23.2 instead of 22.6 dB (means of three seeds), fern 22.7 instead of 22.5,
            but lego 32.0 instead of 32.9.
        emptying: draws densities towards nothing. After 9000 steps the toy had 23.3 instead of
            22.6 dB (means of two seeds), both with noise.
        greying: draws features towards grey: where few photos look, colours would cancel one
            another out along their rays, and glow along all others. After 9000 steps the toy had
            24.2 instead of 23.4 dB (means of two seeds), after 3000 steps fern 22.8 instead of
            22.4 dB. Three times as strong is no better.
        seen: cells stay if a ray owes them, or a neighbour, more than this share of its colour. In
            a place fog takes most cells up, and their rays' time: without what makes up 0.01 to
            0.03, the toy took twice as many steps in 3 minutes, and had 24.1 instead of 23.6
            dB (one seed).
        distortion: weight in the loss of the distortion of rays (mip-NeRF 360, equation 15), which
            draws what a ray meets together.
        step: between the samples of a picture, in cells. Training takes one sample a cell, at
            random; what it averages over thousands of steps, a picture shows at once.
        backdrop: a ray that meets nothing shows the scene's background; without one, what the
            photos show beside their subject. On the toy, held-out photos had 25.0 dB so, with the
            photos' mean colour 24.8 dB (means of two seeds).
    """

    stages: tuple[Stage, ...]
    density: Smoothing
    features: Smoothing
    directions: float = 1.0
    fade: float = 0.0
    noise: float = 0.0
    emptying: Decay | None = None
    greying: Decay | None = None
    seen: float = 0.01
    distortion: float = 0.0
    step: float = 1.0
    backdrop: bool = True


OBJECT = Recipe(
    stages=(
        Stage(6.4, 200, 0.005, 12288),
        Stage(3.2, 300, 0.02, 16384),
        Stage(1.6, 1000, 0.05, 32768),
        Stage(1.0, 0, 1.0, 49152),
    ),
    density=Smoothing(0.04, 1.0, 16),
    features=Smoothing(0.02, 0.1, 32),
    step=0.67,
)
# Photos of a place, few of each thing: coarse for longer, and smooth.
_SLOWLY = (
    Stage(6.4, 250, 0.03, 12288),
    Stage(3.2, 450, 0.1, 16384),
    Stage(1.6, 1000, 0.35, 32768),
    Stage(1.0, 0, 1.0, 49152),
)
_GREYING = Decay(0.1, 0.0, 32)
FORWARD_FACING = Recipe(
    stages=_SLOWLY,
    density=Smoothing(0.08, 1.0, 16),
    features=Smoothing(0.04, 0.1, 32),
    directions=0.3,
    noise=1.0,
    greying=_GREYING,
    seen=0.03,
    backdrop=False,
)
UNBOUNDED = Recipe(
    stages=_SLOWLY,
    density=Smoothing(0.12, 1.0, 16),
    features=Smoothing(0.06, 0.1, 32),
    directions=0.3,
    fade=2.5,
    noise=1.0,
    emptying=Decay(3.2e-3, -8.0, 16),
    greying=_GREYING,
    seen=0.03,
    backdrop=False,
)


def recipe_for(region: Region) -> Recipe:
    """The recipe of a region's kind of scene."""
    if region.unbounded:
        return UNBOUNDED
    return FORWARD_FACING if region.flat > 1 else OBJECT
