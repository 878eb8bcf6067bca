"""Adam by rows: torch's own where all rows are touched, and no trace on the others."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from training.optim.lazy_adam import LazyAdam

ROWS, CHANNELS, RATE, BETAS, EPS = 12, 3, 0.05, (0.9, 0.99), 1e-12


def table(seed: int = 0) -> torch.nn.Parameter:
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.Parameter(torch.randn(ROWS, CHANNELS, generator=generator))


def gradient(step: int, rows: int = ROWS) -> Tensor:
    # Of very different sizes, and zero in places.
    generator = torch.Generator().manual_seed(100 + step)
    values = torch.randn(rows, CHANNELS, generator=generator)
    return values * 10.0 ** torch.randint(-4, 3, (rows, 1), generator=generator)


def sparse(rows: Tensor, values: Tensor) -> Tensor:
    return torch.sparse_coo_tensor(rows[None], values, (ROWS, CHANNELS), check_invariants=False)


def lazy(*parameters: torch.nn.Parameter) -> LazyAdam:
    return LazyAdam([{"params": list(parameters), "lr": RATE}], BETAS)


@pytest.mark.parametrize("kind", ["dense", "sparse", "sparse, in pieces"])
def test_all_rows_touched_is_torch_s_adam(kind):
    ours, theirs = table(), table()
    optimizer, oracle = lazy(ours), torch.optim.Adam([theirs], RATE, BETAS, EPS)
    for step in range(20):
        grad = gradient(step)
        theirs.grad = grad.clone()
        order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(step))
        if kind == "dense":
            ours.grad = grad.clone()
        elif kind == "sparse":
            ours.grad = sparse(order, grad[order])
        else:  # each row's gradient comes as two that are to be summed
            ours.grad = sparse(torch.cat([order, order]), torch.cat([grad[order]] * 2) / 2)
        optimizer.step()
        oracle.step()
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_both_kinds_of_gradient_in_one_step():
    a, b, oracle_a, oracle_b = table(1), table(2), table(1), table(2)
    optimizer, oracle = lazy(a, b), torch.optim.Adam([oracle_a, oracle_b], RATE, BETAS, EPS)
    for step in range(5):
        oracle_a.grad, oracle_b.grad = gradient(step), gradient(step + 50)
        a.grad = sparse(torch.arange(ROWS), gradient(step))
        b.grad = gradient(step + 50)
        optimizer.step()
        oracle.step()
    torch.testing.assert_close(a, oracle_a, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(b, oracle_b, rtol=1e-5, atol=1e-6)


def test_untouched_rows_keep_values_and_moments():
    ours = table()
    optimizer = lazy(ours)
    ours.grad = sparse(torch.arange(ROWS), gradient(0))
    optimizer.step()
    before = ours.detach().clone()
    moments = {k: optimizer.state[ours][k].clone() for k in ("exp_avg", "exp_avg_sq")}
    rows = torch.tensor([7, 2, 4])
    for step in range(1, 4):
        ours.grad = sparse(rows, gradient(step, rows=3))
        optimizer.step()
    others = torch.ones(ROWS, dtype=torch.bool)
    others[rows] = False
    assert torch.equal(ours[others], before[others])
    assert not torch.isclose(ours[rows], before[rows]).any()
    for name, kept in moments.items():
        assert torch.equal(optimizer.state[ours][name][others], kept[others])
        assert not torch.equal(optimizer.state[ours][name][rows], kept[rows])


def trained(steps: int = 3) -> tuple[LazyAdam, torch.nn.Parameter]:
    ours = table()
    optimizer = lazy(ours)
    for step in range(steps):
        ours.grad = sparse(torch.arange(ROWS), gradient(step))
        optimizer.step()
    return optimizer, ours


def test_replaced_rows_keep_their_moments():
    """To go on with some rows is as if the others had never been."""
    optimizer, old = trained()
    rows = torch.tensor([1, 5, 6, 11])
    new = torch.nn.Parameter(old.data[rows])
    optimizer.replace(old, new, rows)
    whole, untouched = trained()
    for step in range(3, 6):
        grad = gradient(step)
        new.grad = torch.sparse_coo_tensor(
            torch.arange(4)[None], grad[rows], (4, CHANNELS), check_invariants=False
        )
        untouched.grad = sparse(torch.arange(ROWS), grad)
        optimizer.step()
        whole.step()
    torch.testing.assert_close(new, untouched[rows])
    assert optimizer.param_groups[0]["params"] == [new]
    assert old not in optimizer.state


def test_a_replacement_of_another_kind_begins_anew():
    optimizer, old = trained()
    new = table(9)
    optimizer.replace(old, new)
    fresh = table(9)
    oracle = torch.optim.Adam([fresh], RATE, BETAS, EPS)
    new.grad, fresh.grad = sparse(torch.arange(ROWS), gradient(9)), gradient(9)
    optimizer.step()
    oracle.step()
    torch.testing.assert_close(new, fresh, rtol=1e-5, atol=1e-6)


def test_its_state_is_saved_and_read_back(tmp_path):
    optimizer, ours = trained()
    torch.save([optimizer.state_dict(), ours.data], tmp_path / "state.pt")
    state, values = torch.load(tmp_path / "state.pt", weights_only=True)
    again = torch.nn.Parameter(values)
    resumed = lazy(again)
    resumed.load_state_dict(state)
    for optimizer_, parameter in ((optimizer, ours), (resumed, again)):
        parameter.grad = sparse(torch.tensor([3, 3, 8]), gradient(5, rows=3))
        optimizer_.step()
    assert torch.equal(ours, again)


def test_half_precision_s_scale_is_undone_and_overflowing_steps_are_skipped():
    ours, dense = table(1), table(1)
    optimizer = lazy(ours, dense)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for value, skipped in ((0.1, False), (float("inf"), True)):
        before = ours.detach().clone()
        scaler.scale(torch.zeros(1))  # it learns of the device
        grad = torch.full((ROWS, CHANNELS), value * 1024)
        ours.grad, dense.grad = sparse(torch.arange(ROWS), grad), grad.clone()
        scaler.step(optimizer)
        scaler.update()
        assert torch.equal(ours, before) is skipped
        torch.testing.assert_close(ours, dense)
        torch.testing.assert_close(optimizer.state[ours]["exp_avg"], torch.full_like(ours, 0.01))
