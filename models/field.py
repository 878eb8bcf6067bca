"""What a field is, to everything that renders or trains one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn

from geometry.rays import Rays


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


class ParameterReplacement(NamedTuple):
    """A parameter, the one in its place, and the old rows that it consists of, if it does."""

    old: nn.Parameter
    new: nn.Parameter
    rows: Tensor | None = None


class StepSize(NamedTuple):
    """How large a training step is, where its rays follow the samples that they take.

    Attributes:
        samples: that a step should take.
        first: rays of the first steps, before it is known how many samples they take.
        most: rays of a step.
    """

    samples: int
    first: int
    most: int


@runtime_checkable
class GrowingField(Protocol):
    """A field that gets finer as it is trained."""

    @property
    def step_size(self) -> StepSize:
        """How many samples and rays a step should take now, on the field's device."""
        ...

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Parameters ("params") with a "name" and their own learning rate ("lr").

        The group "network" keeps its shapes; --lr sets its rate, and the others' in proportion.
        """
        ...

    def grow(
        self, progress: float, step: int, draw: Callable[[int], Rays]
    ) -> list[ParameterReplacement]:
        """Called before each step: refine, where it is time to.

        Args:
            progress: the share of the training that is done, from 0 to 1.
            step: steps done.
            draw: that many rays of random training pixels.

        Returns:
            Parameters that were replaced by others of another shape.
        """
        ...
