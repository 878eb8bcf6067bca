"""The usual implementation of NeRF, transcribed plainly: what ours is measured and tested against.

Every sample goes through the whole network, with the direction repeated for each of them.
"""

from __future__ import annotations

import torch
from torch import nn


def encode(x, frequencies):
    out = [x]
    for k in range(frequencies):
        out += [torch.sin(2.0**k * x), torch.cos(2.0**k * x)]
    return torch.cat(out, -1)


class ReferenceNeRF(nn.Module):
    """Takes the state dict of models.nerf.network.NeRF."""

    def __init__(self, D=8, W=256, skip=4):
        super().__init__()
        self.D, self.skip = D, skip
        for i in range(D):
            inputs = 63 if i == 0 else W + 63 if i == skip else W
            layer = nn.Sequential(nn.Linear(inputs, W), nn.ReLU(True))
            setattr(self, f"xyz_encoding_{i + 1}", layer)
        self.xyz_encoding_final = nn.Linear(W, W)
        self.dir_encoding = nn.Sequential(nn.Linear(W + 27, W // 2), nn.ReLU(True))
        self.sigma = nn.Linear(W, 1)
        self.rgb = nn.Sequential(nn.Linear(W // 2, 3), nn.Sigmoid())

    def forward(self, x, d):
        h = x
        for i in range(self.D):
            if i == self.skip:
                h = torch.cat([x, h], -1)
            h = getattr(self, f"xyz_encoding_{i + 1}")(h)
        sigma = self.sigma(h)
        h = self.dir_encoding(torch.cat([self.xyz_encoding_final(h), d], -1))
        return self.rgb(h), sigma


def volume_render(model, rays_o, rays_d, viewdirs, z, white_back, noise=0.0):
    """Colour, depth and weights of the samples z along the rays."""
    xyz = rays_o[:, None] + rays_d[:, None] * z[..., None]
    dirs = encode(viewdirs, 4).repeat_interleave(z.shape[1], dim=0)
    rgb, sigma = model(encode(xyz.reshape(-1, 3), 10), dirs)
    rgb, sigma = rgb.view(*z.shape, 3), sigma.view(z.shape)
    deltas = torch.cat([z[:, 1:] - z[:, :-1], torch.full_like(z[:, :1], 1e10)], -1)
    deltas = deltas * rays_d.norm(dim=-1, keepdim=True)
    alpha = 1 - torch.exp(-deltas * torch.relu(sigma + noise))
    shifted = torch.cat([torch.ones_like(alpha[:, :1]), 1 - alpha + 1e-10], -1)
    weights = alpha * torch.cumprod(shifted, -1)[:, :-1]
    colour = (weights[..., None] * rgb).sum(1)
    if white_back:
        colour = colour + 1 - weights.sum(1, keepdim=True)
    return colour, (weights * z).sum(1), weights


def sample_pdf(edges, weights, count, u):
    weights = weights + 1e-5
    pdf = weights / weights.sum(-1, keepdim=True)
    cdf = torch.cat([torch.zeros_like(pdf[:, :1]), pdf.cumsum(-1)], -1)
    right = torch.searchsorted(cdf, u.contiguous(), right=True)
    below, above = (right - 1).clamp_min(0), right.clamp_max(weights.shape[1])
    cdf_b, cdf_a = cdf.gather(1, below), cdf.gather(1, above)
    edge_b, edge_a = edges.gather(1, below), edges.gather(1, above)
    span = cdf_a - cdf_b
    span[span < 1e-5] = 1
    return edge_b + (u - cdf_b) / span * (edge_a - edge_b)


def render(models, rays_o, rays_d, viewdirs, near, far, N_samples, N_importance, white_back):
    """Both passes without randomness; returns (colour, depth, weights, z) of each."""
    s = torch.linspace(0, 1, N_samples)
    z = (near * (1 - s) + far * s).expand(len(rays_o), N_samples)
    coarse = volume_render(models[0], rays_o, rays_d, viewdirs, z, white_back)
    if not N_importance:
        return [(*coarse, z)]
    u = torch.linspace(0, 1, N_importance).expand(len(z), N_importance)
    z_fine = sample_pdf(0.5 * (z[:, 1:] + z[:, :-1]), coarse[2][:, 1:-1].detach(), N_importance, u)
    z_all = torch.cat([z, z_fine], -1).sort(-1).values
    fine = volume_render(models[1], rays_o, rays_d, viewdirs, z_all, white_back)
    return [(*coarse, z), (*fine, z_all)]


def training_step(models, optimizer, rays_o, rays_d, near, far, target, N_samples, N_importance):
    """One step with the usual perturbation and noise; returns the loss."""
    s = torch.linspace(0, 1, N_samples)
    z = (near * (1 - s) + far * s).expand(len(rays_o), N_samples)
    middle = 0.5 * (z[:, 1:] + z[:, :-1])
    upper, lower = torch.cat([middle, z[:, -1:]], -1), torch.cat([z[:, :1], middle], -1)
    z = lower + (upper - lower) * torch.rand_like(z)
    rgb, _, weights = volume_render(models[0], rays_o, rays_d, rays_d, z, True, torch.randn_like(z))
    loss = ((rgb - target) ** 2).mean()
    u = torch.rand(len(z), N_importance)
    z_fine = sample_pdf(0.5 * (z[:, 1:] + z[:, :-1]), weights[:, 1:-1].detach(), N_importance, u)
    z = torch.cat([z, z_fine], -1).sort(-1).values
    rgb, _, _ = volume_render(models[1], rays_o, rays_d, rays_d, z, True, torch.randn_like(z))
    loss = loss + ((rgb - target) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.detach())
