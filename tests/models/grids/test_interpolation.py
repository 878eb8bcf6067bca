"""Reading planes and lines at places between their points."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from models.grids.interpolation import gather, line_corners, plane_corners


@pytest.mark.parametrize(("rows", "columns"), [(2, 2), (5, 9), (31, 7)])
def test_gather_is_grid_sample(rows, columns):
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(rows, columns, 6, generator=generator, dtype=torch.double)
    unit = 2 * torch.rand(500, 2, generator=generator, dtype=torch.double) - 1
    unit[:4] = torch.tensor([[-1.0, -1], [1, 1], [-1, 1], [1, -1]])  # the corners themselves
    grads = torch.randn(500, 6, generator=generator, dtype=torch.double)

    ours, theirs = (table.clone().requires_grad_() for _ in range(2))
    row = line_corners((unit[:, 0] + 1) / 2 * (rows - 1), rows)
    column = line_corners((unit[:, 1] + 1) / 2 * (columns - 1), columns)
    value = gather(ours.flatten(0, 1), plane_corners(row, column, columns))
    expected = F.grid_sample(
        theirs.permute(2, 0, 1)[None], unit.flip(1)[None, :, None], align_corners=True
    )[0, :, :, 0].T
    torch.testing.assert_close(value, expected)
    value.backward(grads)
    expected.backward(grads)
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_gather_outside_counts_as_the_edge_and_no_places_are_no_values():
    table = torch.tensor([[1.0], [5.0], [2.0]], requires_grad=True)
    torch.testing.assert_close(
        gather(table, line_corners(torch.tensor([-3.0, 0.25, 9.0]), 3)),
        torch.tensor([[1.0], [2.0], [2.0]]),
    )
    none = gather(table, line_corners(torch.zeros(0), 3))
    assert none.shape == (0, 1)
    none.sum().backward()
    assert table.grad is not None
    assert not table.grad.any()


def test_gather_gradients():
    generator = torch.Generator().manual_seed(1)
    table = torch.randn(6, 2, generator=generator, dtype=torch.double, requires_grad=True)
    place = 5 * torch.rand(7, generator=generator, dtype=torch.double)
    assert torch.autograd.gradcheck(lambda t: gather(t, line_corners(place, 6)).square(), (table,))
