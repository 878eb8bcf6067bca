"""The paper's field: a fully connected network of position and direction (NeRF, figure 7)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from models.embedding import Embedding


class NeRF(nn.Module):
    """8 layers of 256 channels with a skip connection, then density and a directional colour.

    The layers have the names of nerf_pl, so that its weights load. Two products are arranged
    otherwise than the figure draws them, with the same result:

    - the skip layer adds W_x x + W_h h instead of joining x and h, which saves the copy and the
      gradient of x;
    - xyz_encoding_final has no activation, so that its product with the next layer is taken
      between the weights (256 x 256 x 128) once, not for each point.

    Args:
        D: layers before the density.
        W: their channels.
        N_emb_xyz, N_emb_dir: frequencies of the encodings of position and direction.
        skip: the position's encoding joins the input of this layer (counted from 0).
    """

    def __init__(
        self, D: int = 8, W: int = 256, N_emb_xyz: int = 10, N_emb_dir: int = 4, skip: int = 4
    ) -> None:
        super().__init__()
        self.D, self.W, self.skip = D, W, skip
        self.embedding_xyz = Embedding(3, N_emb_xyz)
        self.embedding_dir = Embedding(3, N_emb_dir)
        xyz, direction = self.embedding_xyz.out_channels, self.embedding_dir.out_channels
        for i in range(D):
            inputs = xyz if i == 0 else W + xyz if i == skip else W
            setattr(self, f"xyz_encoding_{i + 1}", nn.Sequential(nn.Linear(inputs, W), nn.ReLU()))
        self.xyz_encoding_final = nn.Linear(W, W)
        self.dir_encoding = nn.Sequential(nn.Linear(W + direction, W // 2), nn.ReLU())
        self.sigma = nn.Linear(W, 1)
        self.rgb = nn.Sequential(nn.Linear(W // 2, 3), nn.Sigmoid())

    def density(
        self, x: Float[Tensor, "*batch 3"]
    ) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch W"]]:
        """Density before its activation, and the feature that `color` takes."""
        x = self.embedding_xyz(x)
        h = x
        for i in range(self.D):
            linear = getattr(self, f"xyz_encoding_{i + 1}")[0]
            if i == self.skip:
                W_x, W_h = linear.weight.split([x.shape[-1], self.W], dim=1)
                h = F.linear(x, W_x, linear.bias) + F.linear(h, W_h)
            else:
                h = linear(h)
            h = F.relu_(h)
        return self.sigma(h).squeeze(-1), h

    def activation(self, raw: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Density sigma per unit length, not negative."""
        return F.relu(raw)

    def color(
        self, feature: Float[Tensor, "*batch W"], viewdirs: Float[Tensor, "*#batch 3"]
    ) -> Float[Tensor, "*batch 3"]:
        """RGB in [0, 1] seen along unit directions, which broadcast over the points of a ray."""
        linear, final = self.dir_encoding[0], self.xyz_encoding_final
        assert isinstance(linear, nn.Linear)
        W_h, W_d = linear.weight.split([self.W, self.embedding_dir.out_channels], dim=1)
        bias = torch.addmv(linear.bias, W_h, final.bias)
        directional = F.linear(self.embedding_dir(viewdirs), W_d, bias)
        return self.rgb(F.relu_(F.linear(feature, W_h @ final.weight) + directional))
