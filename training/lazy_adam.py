"""Adam that touches only the rows of a table that a step has seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from models.parallel import parallel, parts_for, unlocked


@unlocked
def moved_rows(
    tables: list[Tensor],
    total: Tensor,
    rows: Tensor,
    beta1: float,
    beta2: float,
    rate: float,
    scale: float,
    eps: float,
) -> list[Tensor]:
    """New rows (row, channel) of the table and of its two moments.

    Args:
        tables: the table, and the means of its gradients and of their squares.
        total: the gradients, in a table as large.
        rate: learning rate, corrected for the mean's first steps,
        scale: and for those of the squares' root.
    """
    gradient = total.index_select(0, rows)
    mean = tables[1].index_select(0, rows).lerp_(gradient, 1 - beta1)
    square = tables[2].index_select(0, rows)
    square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    root = square.sqrt().mul_(scale).add_(eps)
    return [tables[0].index_select(0, rows).addcdiv_(mean, root, value=-rate), mean, square]


@unlocked
def put_rows(table: Tensor, parts: list[Tensor], values: list[Tensor]) -> None:
    """Put values (row, channel) into the rows of each part."""
    for part, value in zip(parts, values):  # noqa: B905  TorchScript knows no strict
        table.index_copy_(0, part, value)


class LazyAdam(torch.optim.Adam):
    """Adam (Kingma and Ba 2015); a parameter with a sparse gradient is a table updated by rows.

    Rows without a gradient keep their values and moments: a step costs what it has seen, not
    what the table holds, and a row that is seen rarely forgets nothing in between. Unlike
    torch.optim.SparseAdam it takes dense gradients too, and does not sort the rows.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], betas: tuple[float, float]) -> None:
        super().__init__(groups, lr=1e-3, betas=betas, eps=1e-12, fused=True)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for table in group["params"]:
                if table.grad is not None and table.grad.is_sparse:
                    self._step_rows(table, group)
                    table.grad = None
        super().step()
        return loss

    def _step_rows(self, table: Tensor, group: dict[str, Any]) -> None:
        state = self.state[table]
        if not state:
            state["step"] = torch.zeros((), device=table.device)
            state["exp_avg"] = torch.zeros_like(table)
            state["exp_avg_sq"] = torch.zeros_like(table)
        state["step"] += 1
        count = float(state["step"])
        beta1, beta2 = group["betas"]
        rate = group["lr"] / (1 - beta1**count)
        scale = (1 - beta2**count) ** -0.5
        tables = [table, state["exp_avg"], state["exp_avg_sq"]]
        assert table.grad is not None
        rows, values = table.grad._indices()[0], table.grad._values()
        # A row that occurs several times gets the sum of its gradients, and is then computed
        # as often, each time with the same result.
        total = self._scratch(table)
        total.index_add_(0, rows, values)
        parts = rows.tensor_split(parts_for(table.device))
        moved = parallel(
            lambda some: moved_rows(tables, total, some, beta1, beta2, rate, scale, group["eps"]),
            parts,
        )
        # Only now: a row may occur in several parts.
        total.index_fill_(0, rows, 0.0)

        def put(table: int) -> None:
            put_rows(tables[table], list(parts), [values[table] for values in moved])

        if len(parts) > 1:
            parallel(put, range(3))
        else:
            for number in range(3):
                put(number)

    def _scratch(self, table: Tensor) -> Tensor:
        held: dict[Tensor, Tensor] = self.__dict__.setdefault("_scratches", {})
        scratch = held.get(table)
        if scratch is None or scratch.shape != table.shape:
            scratch = held[table] = torch.zeros_like(table)
        return scratch

    def replace(self, old: Tensor, new: Tensor, rows: Tensor | None = None) -> None:
        """Go on with `new`, of another shape, in place of `old`.

        Args:
            rows: of `old`, that `new` consists of; without them, the moments begin anew.
        """
        state = self.state.pop(old, None)
        if state and rows is not None:
            moments = {name: state[name][rows] for name in ("exp_avg", "exp_avg_sq")}
            self.state[new] = {"step": state["step"], **moments}
        self.__dict__.get("_scratches", {}).pop(old, None)
        for group in self.param_groups:
            group["params"] = [new if mine is old else mine for mine in group["params"]]
