"""TensoRF: a scene as planes and lines of numbers (Chen et al. 2022, the vector-matrix form)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from geometry.rays import Rays
from geometry.region import Region
from models.embedding import Embedding
from models.field import ParameterReplacement, StepSize
from models.grids.interpolation import Corners, gather, line_corners, plane_corners
from models.grids.lattice import Lattice
from models.parallel import scaled_for_device

# The two axes of each plane, and that of the line that it is multiplied with.
_AXES = ((0, 1, 2), (0, 2, 1), (1, 2, 0))
# When planes and lines get finer, as shares of the training: the paper's steps 2000, 3000, 4000,
# 5500 and 7000 of 30000. A short training has its first steps at the coarse resolution.
_GROWS_AT = tuple(step / 30000 for step in (2000, 3000, 4000, 5500, 7000))
_STEPS_BETWEEN = 50
# Rays of a step (the paper's), and samples of a processor's.
_RAYS, _SAMPLES = 4096, 65536
# Density is softplus(raw - 10), times 25 in the paper's scenes, whose boxes reach to 1.5: so an
# untouched field is clear, in a region of any size. (Part of checkpoint format 2, as is _OUTSIDE.)
_SHIFT, _SCALE = -10.0, 25 * 1.5
# The density, before activation, of what is outside the region: none.
_OUTSIDE = -1e4


class TensoRF(nn.Module):
    """Density and appearance as sums of products of a plane's and a line's value.

    The value of component r at (x, y, z) is, for each of three orientations, M_r(x, y) v_r(z)
    (equation 3, with planes XY, XZ and YZ). Densities are the sum over components; appearance
    components are mixed by a matrix to a feature, from which a small network makes the colour
    that is seen along a direction.

    Planes are kept as (row, column, channel), so that the channels of a place are read at once.

    Args:
        region: what the planes span.
        resolution: points of planes and lines along the region's longest side, in the end.
        start: the same at first; by default 128, or half of the resolution if that is less.
        density_components, appearance_components: for each orientation.
        features: what a network gets to make colours of.
        hidden: channels of its two layers.
    """

    def __init__(
        self,
        region: Region,
        resolution: int = 300,
        start: int | None = None,
        density_components: int = 16,
        appearance_components: int = 48,
        features: int = 27,
        hidden: int = 128,
    ) -> None:
        super().__init__()
        self.region = region
        cube = Lattice(region, (-1.0, -1.0, -1.0), (1.0, 1.0, 1.0), (2, 2, 2))
        self._cube = cube
        first = min(128, resolution // 2) if start is None else start
        steps = [k / len(_GROWS_AT) for k in range(len(_GROWS_AT) + 1)]
        # Geometrically spaced; few distinct ones where the resolution is small.
        self.resolutions = [round(first * (resolution / first) ** share) for share in steps]
        sizes = self._sizes(self.resolutions[0])
        for name, channels in (
            ("density", density_components),
            ("appearance", appearance_components),
        ):
            planes, lines = nn.ParameterList(), nn.ParameterList()
            for a, b, c in _AXES:
                planes.append(nn.Parameter(0.1 * torch.randn(sizes[a], sizes[b], channels)))
                lines.append(nn.Parameter(0.1 * torch.randn(sizes[c], channels)))
            setattr(self, f"{name}_planes", planes)
            setattr(self, f"{name}_lines", lines)
        self.basis = nn.Linear(3 * appearance_components, features, bias=False)
        self.embedding_feature, self.embedding_dir = Embedding(features, 2), Embedding(3, 2)
        inputs = self.embedding_feature.out_channels + self.embedding_dir.out_channels
        self.network = nn.Sequential(
            *(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()),
            *(nn.Linear(hidden, 3), nn.Sigmoid()),
        )
        last = self.network[-2]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.bias)

    density_planes: nn.ParameterList
    density_lines: nn.ParameterList
    appearance_planes: nn.ParameterList
    appearance_lines: nn.ParameterList

    def density(
        self, x: Float[Tensor, "*batch 3"]
    ) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch 3"]]:
        """Density before its activation, and the places in the cube, which `color` takes.

        Appearance is read only where `color` is asked for.
        """
        cube = self._cube.coordinates(x) - 1
        flat = cube.reshape(-1, 3)
        parts = self._components(flat, self.density_planes, self.density_lines)
        raw = torch.stack([part.sum(dim=1) for part in parts]).sum(dim=0)
        outside = flat.detach().abs().amax(dim=1) > 1
        return raw.masked_fill(outside, _OUTSIDE).view(x.shape[:-1]), cube

    def activation(self, raw: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Density sigma per unit length, not negative."""
        return F.softplus(raw + _SHIFT) * (_SCALE / max(self.region.half))

    def color(
        self, feature: Float[Tensor, "*batch 3"], viewdirs: Float[Tensor, "*#batch 3"]
    ) -> Float[Tensor, "*batch 3"]:
        """RGB in [0, 1] seen along unit directions.

        Args:
            feature: places in the cube [-1, 1]^3, from `density`.
        """
        parts = self._components(
            feature.reshape(-1, 3), self.appearance_planes, self.appearance_lines
        )
        appearance = self.basis(torch.cat(parts, dim=1))
        directions = self.embedding_dir(viewdirs)
        directions = directions.expand(*feature.shape[:-1], -1).flatten(0, -2)
        seen = self.network(torch.cat([self.embedding_feature(appearance), directions], dim=1))
        return seen.view(feature.shape)

    def _components(
        self, cube: Float[Tensor, "point 3"], planes: nn.ParameterList, lines: nn.ParameterList
    ) -> list[Float[Tensor, "point channel"]]:
        """The components' values, for each orientation."""
        sizes = self.sizes
        along: list[Corners] = [
            line_corners((place + 1) * (0.5 * (size - 1)), size)
            for place, size in zip(cube.unbind(1), sizes, strict=True)
        ]
        return [
            gather(plane.flatten(0, 1), plane_corners(along[a], along[b], sizes[b]))
            * gather(line, along[c])
            for (a, b, c), plane, line in zip(_AXES, planes, lines, strict=True)
        ]

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Points along x, y and z, as they are now."""
        x, y, _ = self.density_planes[0].shape
        return x, y, len(self.density_lines[0])

    def _sizes(self, resolution: int) -> tuple[int, int, int]:
        longest = max(self.region.half)
        x, y, z = (max(2, round(resolution * half / longest)) for half in self.region.half)
        return x, y, z

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Planes and lines learn fast, the small network does not (the paper's section 5)."""
        tables = [p for name in self._tables() for p in getattr(self, name)]
        network = [*self.basis.parameters(), *self.network.parameters()]
        return [
            {"name": "tables", "params": tables, "lr": 0.02},
            {"name": "network", "params": network, "lr": 1e-3},
        ]

    @property
    def step_size(self) -> StepSize:
        """The paper's 4096 rays, and fewer on a processor while the scene's empty space is not yet
        known and each of them takes some two hundred samples."""
        device = self.basis.weight.device
        return StepSize(
            scaled_for_device(_SAMPLES, device), scaled_for_device(_SAMPLES // 256, device), _RAYS
        )

    @staticmethod
    def _tables() -> tuple[str, ...]:
        return "density_planes", "density_lines", "appearance_planes", "appearance_lines"

    def grow(
        self, progress: float, step: int, draw: Callable[[int], Rays]
    ) -> list[ParameterReplacement]:
        """Make planes and lines finer where it is time to; GrowingField tells the arguments."""
        due = sum(
            progress >= share and step >= (number + 1) * _STEPS_BETWEEN
            for number, share in enumerate(_GROWS_AT)
        )
        sizes = self._sizes(self.resolutions[due])
        if math.prod(sizes) <= math.prod(self.sizes):
            return []
        return self.upsample(sizes)

    @torch.no_grad()
    def upsample(self, sizes: tuple[int, int, int]) -> list[ParameterReplacement]:
        """Give planes and lines other sizes, by linear interpolation (section 4.4).

        Returns:
            Each parameter that was replaced, with the new one.
        """
        replaced = []
        for name in self._tables():
            tables: nn.ParameterList = getattr(self, name)
            for number, (a, b, c) in enumerate(_AXES):
                old = tables[number]
                size = (sizes[a], sizes[b]) if old.dim() == 3 else (sizes[c], 1)
                image = old.view(old.shape[0], -1, old.shape[-1]).permute(2, 0, 1)[None]
                finer = F.interpolate(image, size, mode="bilinear", align_corners=True)
                finer = finer[0].permute(1, 2, 0).reshape(*size[: old.dim() - 1], -1)
                tables[number] = nn.Parameter(finer.contiguous())
                replaced.append(ParameterReplacement(old, tables[number]))
        return replaced

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Take on the size that the planes and lines of a training had reached.

        Raises ValueError where they differ in the size of an axis.
        """
        sizes: dict[int, int] = {}
        for name in self._tables():
            for number, table in enumerate(getattr(self, name)):
                saved = state.get(f"{prefix}{name}.{number}")
                if not isinstance(saved, Tensor) or saved.dim() != table.dim():
                    continue
                a, b, c = _AXES[number]
                axes = (a, b) if saved.dim() == 3 else (c,)
                for axis, size in zip(axes, saved.shape, strict=False):
                    if sizes.setdefault(axis, size) != size:
                        raise ValueError(f"{name}.{number} has {size} cells along an axis")
                if saved.shape[-1] == table.shape[-1]:
                    table.data = table.new_empty(saved.shape)
        super()._load_from_state_dict(state, prefix, *rest)
