"""Where along its ray a field is asked: coarse samples, then finer ones (NeRF, section 5.2).

Randomness is an argument: without a generator the samples are the same each time. t is always
a sample's position, and each sample stands for the interval up to the next one.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from geometry.rays import Rays

# Beyond the last sample lies "infinity", as in the paper's implementation: what is solid there
# is opaque.
INFINITY = 1e10


def stratified_samples(
    rays: Rays,
    count: int,
    use_disp: bool = False,
    perturb: float = 0.0,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "ray sample"]:
    """Samples from near to far, evenly spaced in t or in 1 / t.

    Args:
        perturb: with a generator, how far each sample is moved at random in the interval
            between the middles to its neighbours (equation 2); 1 is anywhere in it.
    """
    steps = torch.linspace(0, 1, count, device=rays.near.device, dtype=rays.near.dtype)
    near, far = rays.near[:, None], rays.far[:, None]
    t = 1 / ((1 - steps) / near + steps / far) if use_disp else near * (1 - steps) + far * steps
    if generator is None or perturb == 0:
        return t
    middle = 0.5 * (t[:, 1:] + t[:, :-1])
    lower = torch.cat([t[:, :1], middle], dim=1)
    upper = torch.cat([middle, t[:, -1:]], dim=1)
    random = torch.rand(t.shape, generator=generator, device=t.device, dtype=t.dtype)
    return lower + (upper - lower) * (perturb * random)


def importance_samples(
    t: Float[Tensor, "ray sample"],
    weights: Float[Tensor, "ray sample"],
    count: int,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "ray count"]:
    """Further samples where the coarse ones found something, by the inverse of their CDF.

    The density of samples is piecewise constant between the middles of the coarse samples and
    proportional to the weight within (the first and last sample have no interval of their own).
    Not differentiable, on purpose.
    """
    edges = 0.5 * (t[:, 1:] + t[:, :-1])
    pdf = weights[:, 1:-1].detach() + 1e-5  # empty rays are sampled evenly
    cdf = (pdf / pdf.sum(dim=1, keepdim=True)).cumsum(dim=1)
    cdf = torch.cat([torch.zeros_like(cdf[:, :1]), cdf], dim=1)
    if generator is None:
        u = torch.linspace(0, 1, count, device=t.device, dtype=t.dtype).repeat(len(t), 1)
    else:
        u = torch.rand(len(t), count, generator=generator, device=t.device, dtype=t.dtype)
    above = torch.searchsorted(cdf, u, right=True)
    below = (above - 1).clamp(min=0)
    above = above.clamp(max=cdf.shape[1] - 1)
    cdf_below, cdf_above = cdf.gather(1, below), cdf.gather(1, above)
    edge_below, edge_above = edges.gather(1, below), edges.gather(1, above)
    span = cdf_above - cdf_below
    # An interval without weight is hit by rounding only, and any place in it will do.
    share = (u - cdf_below) / torch.where(span < 1e-5, torch.ones_like(span), span)
    return edge_below + share * (edge_above - edge_below)


def merge_samples(
    a: Float[Tensor, "ray first"], b: Float[Tensor, "ray second"]
) -> Float[Tensor, "ray both"]:
    """Both sets of samples in order along the ray."""
    return torch.cat([a, b], dim=1).sort(dim=1).values


def sample_lengths(t: Float[Tensor, "ray sample"], rays: Rays) -> Float[Tensor, "ray sample"]:
    """The length of the interval that begins at each sample; the last one's is infinite.

    In the units of the directions, which matters in NDC, where they are not of unit length.
    """
    last = torch.full_like(t[:, :1], INFINITY)
    deltas = torch.cat([t[:, 1:] - t[:, :-1], last], dim=1)
    return deltas * rays.directions.norm(dim=1, keepdim=True)


def sample_along_rays(
    rays_o: Float[Tensor, "ray 3"],
    rays_d: Float[Tensor, "ray 3"],
    near: float = 2.0,
    far: float = 6.0,
    n_samples: int = 64,
    perturb: bool = True,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "ray sample 3"]:
    """Points o + t d with t from near to far, evenly spaced or shaken (NeRF, equation 2).

    Args:
        rays_o, rays_d: origins and unit directions.
        near, far: the distances between which points are taken, both included.
        perturb: move each point at random between the middles to its neighbours, so that over
            many steps every place along the ray is visited.
        generator: of the random moves; by default torch's own.
    """
    if perturb and generator is None:
        seed = int(torch.randint(2**31, ()))
        generator = torch.Generator(rays_o.device).manual_seed(seed)
    bound = rays_o.new_ones(len(rays_o))
    image = torch.zeros(len(rays_o), dtype=torch.long, device=rays_o.device)
    rays = Rays(rays_o, rays_d, rays_d, near * bound, far * bound, image)
    return rays.points(
        stratified_samples(rays, n_samples, perturb=float(perturb), generator=generator)
    )
