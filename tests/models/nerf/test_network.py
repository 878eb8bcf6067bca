"""The paper's network is the usual implementation's."""

from __future__ import annotations

import torch

from benchmarks import reference_nerf as reference
from models.embedding import Embedding
from models.nerf.network import NeRF


def test_embedding_is_the_papers():
    x = torch.randn(5, 3)
    torch.testing.assert_close(Embedding(3, 10)(x), reference.encode(x, 10))
    assert Embedding(3, 10).out_channels == 63
    assert Embedding(3, 4)(torch.zeros(2, 7, 3)).shape == (2, 7, 27)


def test_network_is_the_reference():
    torch.manual_seed(0)
    ours = NeRF()
    theirs = reference.ReferenceNeRF()
    theirs.load_state_dict(ours.state_dict())
    x, d = torch.randn(200, 3), torch.nn.functional.normalize(torch.randn(200, 3), dim=1)
    raw, feature = ours.density(x)
    rgb, sigma = theirs(reference.encode(x, 10), reference.encode(d, 4))
    torch.testing.assert_close(raw, sigma[:, 0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.color(feature, d), rgb, atol=1e-5, rtol=1e-5)
