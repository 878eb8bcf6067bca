"""Corrections of the photos' poses and of their lens, trained together with the field.

Poses that a solver found, or a sheet of tags, or a phone's tracker, are off by something; the
photos tell by how much. BARF (Lin et al. 2021) trains a motion of each camera with the field;
CamP (Park et al. 2023) preconditions it and refines the lens too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from geometry.cameras import Cameras
from geometry.motion import move
from geometry.rays import Bounds
from geometry.region import Region

from .preconditioner import preconditioners, visible_points

# Learning rates, in focal lengths that points of the picture move in a step: of a photo of 1000
# pixels that is a tenth of a pixel.
POSE_RATE, LENS_RATE = 1e-4, 5e-6


class CameraRefinement(torch.nn.Module):
    """A motion of each photo's camera, and a change of the lens that they share; zero at first.

    The motions are free up to a gauge: when all cameras move, turn or scale together, and the
    field with them, the photos stay the same. Left free, the training cameras drift away from the
    held-out ones and from the input's coordinates. So the mean motion, and the mean growth away
    from the cameras' middle, are subtracted wherever motions are used.

    Args:
        cameras: of the photos.
        precondition: P of each camera's motion, and of the lens; as they are (None) for weights
            that are loaded.

    Attributes:
        pose, lens: the parameters, preconditioned.
        active: whether photos are seen through the corrected cameras in training.
    """

    pose_basis: Tensor
    lens_basis: Tensor

    def __init__(self, cameras: Cameras, precondition: tuple[Tensor, Tensor] | None = None) -> None:
        super().__init__()
        count = len(cameras)
        self.active = False
        self.pose = torch.nn.Parameter(torch.zeros(count, 6))
        self.lens = torch.nn.Parameter(torch.zeros(3))
        pose, lens = precondition or (torch.eye(6).repeat(count, 1, 1), torch.eye(3))
        self.register_buffer("pose_basis", pose)
        self.register_buffer("lens_basis", lens)

    @staticmethod
    def of_scene(cameras: Cameras, bounds: Bounds, region: Region) -> CameraRefinement:
        """Corrections of the training photos' cameras, preconditioned for what they look at."""
        points = visible_points(cameras, bounds, region)
        return CameraRefinement(cameras, preconditioners(cameras, points, middle(cameras)))

    def forward(self, cameras: Cameras) -> Cameras:
        """The photos' cameras, corrected; differentiable.

        Args:
            cameras: as they were given.
        """
        center = middle(cameras)
        motion = torch.einsum("cij,cj->ci", self.pose_basis, self.pose)
        motion = without_gauge(motion, cameras.c2w[:, :, 3] - center)
        return self.through_lens(replace(cameras, c2w=move(cameras.c2w, motion, center)))

    def through_lens(self, cameras: Cameras) -> Cameras:
        """Any cameras with the photos' lens, corrected."""
        change = self.lens_basis @ self.lens
        factor = torch.cat([change[:1].exp().expand(2), change.new_ones(2)])
        radial = change[1:].expand(len(cameras), 2)
        return replace(cameras, intrinsics=cameras.intrinsics * factor, radial=radial)

    @torch.no_grad()
    def corrected(self, cameras: Cameras, train: list[int]) -> Cameras:
        """All of a scene's cameras: the photos' own refined, the others through their lens.

        Args:
            train: indices of the photos that were trained on.
        """
        seen = self.through_lens(cameras)
        c2w = seen.c2w.clone()
        c2w[train] = self(cameras[train]).c2w
        return replace(seen, c2w=c2w)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The parameters with their learning rates, for an optimizer."""
        return [
            {"name": "poses", "params": [self.pose], "lr": POSE_RATE},
            {"name": "lens", "params": [self.lens], "lr": LENS_RATE},
        ]


def middle(cameras: Cameras) -> Float[Tensor, "3"]:
    """The mean of the cameras' places."""
    return cameras.c2w[:, :, 3].mean(dim=0)


def without_gauge(
    motion: Float[Tensor, "camera 6"], place: Float[Tensor, "camera 3"]
) -> Float[Tensor, "camera 6"]:
    """Motions less the one that all cameras share, and less their growth away from the middle.

    Args:
        place: of the cameras, from their middle.
    """
    turn, shift = (motion - motion.mean(dim=0)).split(3, dim=1)
    growth = (shift * place).sum() / place.square().sum().clamp_min(1e-12)
    return torch.cat([turn, shift - growth * place], dim=1)
