"""LPIPS, with a stand-in for its package: its weights are a download."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest
import torch

from errors import UserError
from evaluation.perceptual import load_lpips


class Distance(torch.nn.Module):
    """Mean absolute difference of what the network is given: images from -1 to 1."""

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        assert a.shape == b.shape == (1, 3, *a.shape[2:])
        assert float(a.min()) >= -1
        assert float(a.max()) <= 1
        return (a - b).abs().mean()[None]


def stand_in(monkeypatch: pytest.MonkeyPatch, network: object) -> None:
    module = ModuleType("lpips")
    module.LPIPS = network  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lpips", module)


def test_images_reach_the_network_as_it_wants_them(monkeypatch):
    stand_in(monkeypatch, lambda net, verbose: Distance())
    lpips = load_lpips(torch.device("cpu"))
    black, white = np.zeros((4, 6, 3), np.uint8), np.full((4, 6, 3), 255, np.uint8)
    assert lpips(white, black, None) == pytest.approx(2)
    left = np.zeros((4, 6), bool)
    left[:, :3] = True
    assert lpips(white, black, left) == pytest.approx(1)  # the rest adds nothing


def test_what_is_missing_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(UserError, match="pip install lpips"):
        load_lpips(torch.device("cpu"))

    def offline(net: str, verbose: bool) -> None:
        raise OSError("no route to host")

    stand_in(monkeypatch, offline)
    with pytest.raises(UserError, match=r"weights cannot be loaded .no route to host"):
        load_lpips(torch.device("cpu"))
