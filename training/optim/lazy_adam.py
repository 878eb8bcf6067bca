"""Adam that touches only the rows of a table that a step has seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from models.parallel import n_parts, parallel, scripted


@scripted
def unique(rows: Tensor, number: Tensor) -> tuple[Tensor, Tensor]:
    """Each of the rows once; and for each of the given ones, which of these it is.

    Args:
        number: (row of the table,) int32, of any content: what is written down there is read at
            once, and never again.
    """
    order = torch.arange(rows.size(0), dtype=torch.int32, device=rows.device)
    number.index_copy_(0, rows, order)
    # Of several that write to one place, one is left.
    kept = rows.masked_select(number.index_select(0, rows) == order)
    number.index_copy_(0, kept, order[: kept.size(0)])
    return kept, number.index_select(0, rows).long()  # index_add_ is slow with others


@scripted
def update_rows(
    tables: list[Tensor],
    rows: Tensor,
    gradient: Tensor,
    beta1: float,
    beta2: float,
    rate: float,
    scale: float,
    eps: float,
) -> None:
    """Change rows of the table and of its two moments.

    Args:
        tables: the table, and the means of its gradients and of their squares.
        rows, gradient: (row,) and (row, channel), each row once.
        rate: learning rate, corrected for the mean's first steps,
        scale: and for those of the squares' root.
    """
    mean = tables[1].index_select(0, rows).lerp_(gradient, 1 - beta1)
    square = tables[2].index_select(0, rows)
    square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    tables[1].index_copy_(0, rows, mean)
    tables[2].index_copy_(0, rows, square)
    root = square.sqrt_().mul_(scale).add_(eps)
    tables[0].index_copy_(
        0, rows, tables[0].index_select(0, rows).addcdiv_(mean, root, value=-rate)
    )


class LazyAdam(torch.optim.Adam):
    """Adam (Kingma and Ba 2015); a parameter with a sparse gradient is a table updated by rows.

    Rows without a gradient keep their values and moments: a step costs what it has seen, not
    what the table holds, and a row that is seen rarely forgets nothing in between. Unlike
    torch.optim.SparseAdam it takes dense gradients too, and does not sort the rows.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], betas: tuple[float, float]) -> None:
        super().__init__(groups, lr=1e-3, betas=betas, eps=1e-12, fused=True)
        # Torch's fused step undoes the scale of half precision's gradients by itself; rows know of
        # none, so that the scaler has to.
        self._step_supports_amp_scaling = False

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
            state["step"] = 0.0
            state["exp_avg"] = torch.zeros_like(table)
            state["exp_avg_sq"] = torch.zeros_like(table)
        count = state["step"] = float(state["step"]) + 1  # a checkpoint's is a tensor
        beta1, beta2 = group["betas"]
        rate = group["lr"] / (1 - beta1**count)
        scale = (1 - beta2**count) ** -0.5
        tables = [table, state["exp_avg"], state["exp_avg_sq"]]
        assert table.grad is not None
        touched, values = table.grad._indices()[0], table.grad._values()
        rows, place = unique(touched, self._numbers(table))
        gradient = values.new_zeros(len(rows), values.shape[1]).index_add_(0, place, values)
        parts = n_parts(table.device)
        parallel(
            lambda part: update_rows(tables, *part, beta1, beta2, rate, scale, group["eps"]),
            list(zip(rows.tensor_split(parts), gradient.tensor_split(parts), strict=True)),
        )

    def _numbers(self, table: Tensor) -> Tensor:
        held: dict[Tensor, Tensor] = self.__dict__.setdefault("_held", {})
        numbers = held.get(table)
        if numbers is None or len(numbers) != len(table) or numbers.device != table.device:
            numbers = torch.empty(len(table), dtype=torch.int32, device=table.device)
            held[table] = numbers
        return numbers

    def replace(self, old: Tensor, new: Tensor, rows: Tensor | None = None) -> None:
        """Go on with `new`, of another shape, in place of `old`.

        Args:
            rows: of `old`, that `new` consists of; without them, the moments begin anew.
        """
        state = self.state.pop(old, None)
        if state and rows is not None:
            moments = {name: state[name][rows] for name in ("exp_avg", "exp_avg_sq")}
            self.state[new] = {"step": state["step"], **moments}
        self.__dict__.get("_held", {}).pop(old, None)
        for group in self.param_groups:
            group["params"] = [new if mine is old else mine for mine in group["params"]]
