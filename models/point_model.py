"""Models whose field is evaluated at points: sampled in two passes, or where something is.

Shared by the paper's network and by TensoRF; a new field of this kind needs no renderer of its
own (docs/add-a-field.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch
from torch import nn

from errors import require

from .grids.occupancy import OccupancyGrid, estimate_occupancy
from .rendering.hierarchical import HierarchicalRenderer
from .rendering.occupancy import OccupancyMarchConfig, OccupancyRenderer
from .rendering.renderer import Renderer
from .spec import Fields, ModelSpec, SceneInfo

Sampler = Literal["hierarchical", "occupancy"]


@dataclass(frozen=True)
class SamplingConfig:
    """How rays are sampled."""

    sampler: Sampler = "hierarchical"
    """how rays are sampled: in a coarse and a fine pass, or where something is"""
    N_samples: int = 64
    """hierarchical: coarse samples per ray"""
    N_importance: int = 128
    """hierarchical: further samples per ray for the fine network; 0 trains the coarse one alone"""
    use_disp: bool = False
    """hierarchical: space the coarse samples evenly in disparity (1 / depth)"""
    chunk: int = 32 * 1024
    """points that a network sees at once when an image is rendered; less needs less memory"""

    def __post_init__(self) -> None:
        for name in ("N_samples", "chunk"):
            require(getattr(self, name) > 0, f"--{name} must be positive")
        require(self.N_importance >= 0, "--N_importance must not be negative")
        require(
            self.N_samples >= 3 or self.N_importance == 0, "--N_importance needs N_samples >= 3"
        )


@dataclass(frozen=True)
class SamplingRecipe:
    """Constants of the occupancy sampler.

    Args:
        march: how the cells are marched through.
        occupancy_resolution: cells along the region's longest side.
        occupancy_every: steps between updates of the grid of a field in training.
    """

    march: OccupancyMarchConfig = field(default_factory=OccupancyMarchConfig)
    occupancy_resolution: int = 128
    occupancy_every: int = 16

    def __post_init__(self) -> None:
        if not 1 <= self.occupancy_resolution <= 1024 or self.occupancy_every < 1:
            raise ValueError(f"{self.occupancy_resolution} cells, every {self.occupancy_every}")

    @staticmethod
    def from_dict(values: dict[str, Any]) -> SamplingRecipe:
        """The recipe that `dataclasses.asdict` made plain values of."""
        return SamplingRecipe(**{**values, "march": OccupancyMarchConfig(**values["march"])})


def point_model(
    name: str,
    help: str,
    config: type,
    build_field: Callable[[Any, SceneInfo], nn.Module],
    two_networks: bool = False,
    recipe: SamplingRecipe | None = None,
    opaque_far: bool = True,
    **more: Any,
) -> ModelSpec:
    """The ModelSpec of a field that is evaluated at points.

    Args:
        config: a subclass of SamplingConfig.
        build_field: (config, scene) -> a Field.
        two_networks: the two passes have a network each; otherwise both evaluate one field.
        recipe: by default SamplingRecipe's own values.
        opaque_far: see OccupancyMarchConfig; False for a field that has density all over its box.
        more: further arguments of ModelSpec.
    """
    constants = recipe or SamplingRecipe()

    def make_recipe(config: SamplingConfig, scene: SceneInfo) -> SamplingRecipe:
        march = asdict(constants.march)
        march["opaque_far"] = opaque_far or not scene.foreground_only
        return SamplingRecipe(
            OccupancyMarchConfig(**march),
            constants.occupancy_resolution,
            constants.occupancy_every,
        )

    def build_fields(
        config: SamplingConfig, scene: SceneInfo, recipe: SamplingRecipe
    ) -> dict[str, nn.Module]:
        fields = {"nerf_coarse": build_field(config, scene)}
        if config.sampler == "occupancy":
            fields["occupancy"] = OccupancyGrid(
                scene.region, recipe.occupancy_resolution, recipe.occupancy_every
            )
        elif two_networks and config.N_importance > 0:
            fields["nerf_fine"] = build_field(config, scene)
        return fields

    def build_renderer(
        fields: Fields, config: SamplingConfig, scene: SceneInfo, recipe: SamplingRecipe
    ) -> Renderer:
        coarse = fields["nerf_coarse"]
        if "occupancy" in fields:
            return OccupancyRenderer(
                coarse, fields["occupancy"], scene.background, recipe.march, config.chunk
            )
        fine = None
        if config.N_importance > 0:
            fine = fields.get("nerf_fine") if two_networks else coarse
            require(fine is not None, "there is no fine network here: leave out --N_importance")
        return HierarchicalRenderer(
            *(coarse, fine, config.N_samples, config.N_importance, config.use_disp),
            *(scene.background, config.chunk),
        )

    return ModelSpec(
        name,
        help,
        config,
        make_recipe,
        SamplingRecipe.from_dict,
        build_fields,
        build_renderer,
        convert=change_sampler,
        before_step=update_occupancy,
        **more,
    )


def update_occupancy(fields: Fields, step: int) -> None:
    """Let the occupancy grid, where there is one, follow the field in training.

    All processes have the same weights and look at the same places: they need not exchange it.
    """
    if "occupancy" in fields:
        fields["occupancy"].update(fields["nerf_coarse"], step)


def change_sampler(
    fields: Fields,
    trained: SamplingConfig,
    config: SamplingConfig,
    scene: SceneInfo,
    recipe: SamplingRecipe,
    device: torch.device,
) -> Fields:
    """Trained fields for another sampler: of two networks the fine one, which saw the best
    samples."""
    if trained.sampler == config.sampler:
        return fields
    best = fields.get("nerf_fine", fields["nerf_coarse"])
    if config.sampler == "hierarchical":
        return {"nerf_coarse": best, "nerf_fine": best}
    occupancy = estimate_occupancy(best, scene.region, recipe.occupancy_resolution, device=device)
    return {"nerf_coarse": best, "occupancy": occupancy}
