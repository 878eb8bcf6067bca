"""Scene contraction and its inverse."""

from __future__ import annotations

import torch

from geometry.contraction import contract, contract_1d, inv_contract
from models.grids.traversal import inv_contract_1d


def test_contraction():
    x = torch.tensor([[0.5, -0.9, 0.1], [4.0, -2.0, 1.0], [1e9, 0.0, 0.0], [0.0, 0.0, 0.0]])
    expected = torch.tensor([[0.5, -0.9, 0.1], [1.75, -0.875, 0.4375], [2.0, 0, 0], [0, 0, 0]])
    torch.testing.assert_close(contract(x), expected)
    torch.testing.assert_close(inv_contract(contract(x[:2])), x[:2])
    s = torch.linspace(-1.95, 1.95, 101)
    torch.testing.assert_close(contract_1d(inv_contract_1d(s)), s, rtol=1e-4, atol=1e-4)
