"""What a field is, to everything that renders one."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class Field(Protocol):
    """A scene's density everywhere, and its colour from every side."""

    def density(self, x: Float[Tensor, "*batch 3"]) -> tuple[Tensor, Tensor]:
        """Density before its activation (*batch), and a feature (*batch, channels)."""
        ...

    def activation(self, raw: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Density sigma per unit length, not negative."""
        ...

    def color(
        self, feature: Float[Tensor, "*batch channel"], viewdirs: Float[Tensor, "*#batch 3"]
    ) -> Float[Tensor, "*batch 3"]:
        """RGB in [0, 1] seen along unit directions."""
        ...
