"""A camera's parameters in a basis in which a step of any of them moves the picture as far.

CamP (Park et al. 2023): turning a camera and shifting it sideways show nearly the same, and a
degree is no length. Adam, which takes steps of one size along each parameter, is lost between
them. With J the Jacobian of projected points with respect to the parameters phi and
S = mean J^T J, phi = P phi' with P = S^(-1/2) makes the covariance of the projections' moves the
identity: a unit of each phi' moves points by one focal length in the root mean square.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from geometry.cameras import Cameras, inverse_transform, pixel_to_camera, transform
from geometry.lens import distort
from geometry.motion import move
from geometry.rays import Bounds
from geometry.region import Region

# Damping of the inverse, as in the paper: what moves nothing must not take steps without end.
_RELATIVE, _ABSOLUTE = 1e-1, 1e-8
# Points of a camera: a grid over its photo, at distances in those of the subject, or in NDC's
# near planes.
_GRID = 5
_DISTANCES, _NDC_DISTANCES = (0.5, 1.0, 2.0), (1.3, 2.5, 10.0)


def visible_points(
    cameras: Cameras, bounds: Bounds, region: Region
) -> Float[Tensor, "camera point 3"]:
    """Points before each camera, spread over its photo and over the depths of its scene."""
    c2w, K = cameras.c2w.double(), cameras.intrinsics.double()
    share = (torch.arange(_GRID, device=c2w.device) + 0.5) / _GRID
    uv = torch.cartesian_prod(share, share).to(c2w) * cameras.size[:, None]
    if bounds.ndc is not None:
        depths = c2w.new_tensor(_NDC_DISTANCES).mul(bounds.ndc.near).expand(len(c2w), -1)
    else:
        to_subject = (c2w[:, :, 3] - c2w.new_tensor(region.center)).norm(dim=1, keepdim=True)
        depths = to_subject.clamp_min(1e-6) * c2w.new_tensor(_DISTANCES)
    uv = uv.repeat(1, len(_DISTANCES), 1)
    return transform(c2w, pixel_to_camera(K, uv, depths.repeat_interleave(_GRID**2, dim=1)))


def project(
    phi: Float[Tensor, "9"],
    c2w: Float[Tensor, "3 4"],
    points: Float[Tensor, "point 3"],
    center: Float[Tensor, "3"],
) -> Float[Tensor, "point 2"]:
    """Where a corrected camera shows points of the world, in units of its focal length.

    Args:
        phi: a motion (`geometry.motion.move`), log of the focal length's factor, k1 and k2.
    """
    x, y, z = inverse_transform(move(c2w, phi[:6], center), points).unbind(-1)
    return phi[6].exp() * distort(torch.stack([x / -z, y / -z], dim=-1), phi[7:])


def preconditioners(
    cameras: Cameras, points: Float[Tensor, "camera point 3"], center: Float[Tensor, "3"]
) -> tuple[Float[Tensor, "camera 6 6"], Float[Tensor, "3 3"]]:
    """P of each camera's motion, and of the lens that all of them share.

    Args:
        points: before each camera.
        center: that the motions turn around.
    """
    phi = points.new_zeros(9)
    jacobian = torch.stack(
        [
            torch.func.jacrev(project)(phi, c2w, seen, center.double())
            for c2w, seen in zip(cameras.c2w.double(), points, strict=True)
        ]
    )
    covariance = torch.einsum("cpui,cpuj->cij", jacobian, jacobian) / points.shape[1]
    lens = covariance[:, 6:, 6:].mean(dim=0)
    return _inverse_root(covariance[:, :6, :6]), _inverse_root(lens)


def _inverse_root(covariance: Float[Tensor, "*batch n n"]) -> Float[Tensor, "*batch n n"]:
    size = covariance.diagonal(dim1=-2, dim2=-1)
    damped = covariance + torch.diag_embed(_RELATIVE * size + _ABSOLUTE)
    values, vectors = torch.linalg.eigh(damped.cpu())
    root = vectors @ torch.diag_embed(values.rsqrt()) @ vectors.mT
    return root.float().to(covariance.device)
