"""A field without what lies outside of a box."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from models.field import Field

# Before any field's activation: no density.
_NOTHING = -1e4
Inside = Callable[[Float[Tensor, "*point 3"]], Bool[Tensor, "*point"]]


@dataclass(frozen=True)
class CroppedField:
    """A field that is empty outside.

    Args:
        field: the whole one.
        inside: which points are kept.
    """

    field: Field
    inside: Inside

    def density(self, x: Float[Tensor, "*batch 3"]) -> tuple[Tensor, Tensor]:
        """Density before its activation, and the feature."""
        raw, feature = self.field.density(x)
        return torch.where(self.inside(x), raw, raw.new_tensor(_NOTHING)), feature

    def activation(self, raw: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Density sigma per unit length."""
        return self.field.activation(raw)

    def color(
        self, feature: Float[Tensor, "*batch channel"], viewdirs: Float[Tensor, "*#batch 3"]
    ) -> Float[Tensor, "*batch 3"]:
        """RGB in [0, 1] seen along unit directions."""
        return self.field.color(feature, viewdirs)


def crop_points(fields: Mapping[str, Any], inside: Inside) -> dict[str, Any]:
    """ModelSpec.crop of fields that are evaluated at points; grids of what is occupied stay."""
    return {
        name: CroppedField(field, inside) if isinstance(field, Field) else field
        for name, field in fields.items()
    }
