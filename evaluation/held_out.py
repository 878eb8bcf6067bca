"""Held-out cameras, fitted to their own photos with the field fixed, before they are measured.

Training with --refine_poses moves the training cameras to where their photos were taken; what is
known of the held-out ones is as wrong as it was, and a measurement would tell that error, not the
field's. So each is moved alone to where its photo looks most like the field (as in BARF and CamP).
It sees the photo that it is then measured on: such figures are compared with their like only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from datasets.photos import Photos
from datasets.scene import Scene
from geometry.cameras import Cameras
from geometry.motion import move
from geometry.rays import cast_rays
from models.appearance.exposure import expose, fit_exposure
from models.appearance.nearby import NearbyExposure
from models.refinement.preconditioner import preconditioners, visible_points
from models.rendering.output import RenderOutput
from models.rendering.renderer import Renderer, TrainingMode

STEPS = 80
_RAYS = 1024
# In focal lengths that points of the picture move in a step; it falls to zero.
_RATE = 1e-3


@dataclass(frozen=True)
class HeldOutFit:
    """Fits cameras of a scene to their photos.

    Args:
        scene: with its photos; its cameras see through the refined lens.
        renderer: of the trained field, differentiable.
        exposure: of views without a photo, where the training photos had their own.
        right_halves: views are measured on their right halves: the left ones alone are looked at.
    """

    scene: Scene
    renderer: Renderer
    exposure: NearbyExposure | None
    right_halves: bool = False

    def scene_for(self, views: Sequence[int], device: torch.device) -> Scene:
        """The scene with the cameras `views` fitted."""
        c2w = self.scene.cameras.c2w.clone()
        for view in views:
            photo = self.scene.photos([view])
            c2w[view] = self.fit(self.scene.cameras[view], photo, device).cpu()
        return replace(self.scene, cameras=replace(self.scene.cameras, c2w=c2w))

    def fit(self, camera: Cameras, photo: Photos, device: torch.device) -> Tensor:
        """The pose (3, 4) from which the field looks most like the photo.

        Args:
            camera: as it was given, a set of one.
            photo: that it took.
        """
        assert self.scene.region is not None
        points = visible_points(camera, self.scene.bounds, self.scene.region)
        basis = preconditioners(camera, points, camera.c2w[0, :, 3])[0][0].to(device)
        camera = camera.to(device)
        center = camera.c2w[0, :, 3]
        allowed = self._allowed(photo).to(device)
        photo = replace(photo, pixels=photo.pixels.to(device))
        generator = torch.Generator(device).manual_seed(0)
        pose = torch.zeros(6, device=device, requires_grad=True)
        optimizer = torch.optim.Adam([pose], lr=_RATE, betas=(0.9, 0.99), eps=1e-12)
        for step in range(STEPS if len(allowed) else 0):
            optimizer.param_groups[0]["lr"] = 0.5 * _RATE * (1 + math.cos(math.pi * step / STEPS))
            chosen = torch.randint(len(allowed), (_RAYS,), generator=generator, device=device)
            with torch.enable_grad():
                moved = replace(camera, c2w=move(camera.c2w, (basis @ pose)[None], center))
                loss = self._loss(moved, photo, allowed[chosen], generator)
                pose.grad = torch.autograd.grad(loss, pose)[0]  # the field takes none
            optimizer.step()
        with torch.no_grad():
            return move(camera.c2w, (basis @ pose)[None], center)[0]

    def _loss(
        self, camera: Cameras, photo: Photos, pixel: Tensor, generator: torch.Generator
    ) -> Tensor:
        """How unlike the photo some of its pixels are, seen from the camera."""
        width = int(photo.widths[0])
        y = torch.div(pixel, width, rounding_mode="floor")
        image = torch.zeros_like(pixel)
        rays = cast_rays(camera, self.scene.bounds, image, pixel - y * width, y)
        outputs = self.renderer.render_train(rays, TrainingMode(generator))
        target = photo.pixels[pixel].float() / 255
        rgb = self._exposed(list(outputs.values())[-1], target, camera.c2w[0])
        return torch.nn.functional.huber_loss(rgb, target, delta=0.1)

    def _allowed(self, photo: Photos) -> Tensor:
        """Pixels that may be looked at."""
        mask = photo.mask(0)
        if mask is None:
            height = len(photo.pixels) // int(photo.widths[0])
            mask = torch.ones(height, int(photo.widths[0]), dtype=torch.bool)
        if self.right_halves:
            mask = mask.clone()
            mask[:, mask.shape[1] // 2 :] = False
        return mask.reshape(-1).nonzero().squeeze(1)

    def _exposed(self, output: RenderOutput, target: Tensor, c2w: Tensor) -> Tensor:
        """The colours as the photo has them; what exposes them is a constant."""
        background = self.scene.background
        if self.right_halves:
            rgb, opacity = output.rgb.detach(), output.opacity.detach()
            gain, offset = fit_exposure(rgb, target, opacity, background)
            return expose(output.rgb, output.opacity, background, gain, offset)
        if self.exposure is not None:
            return self.exposure(output, c2w, background).rgb
        return output.rgb


def moves(before: Scene, after: Scene, views: Sequence[int]) -> dict[str, Any]:
    """metrics.json's word on fitted cameras: medians of how far they were turned and shifted.

    Degrees, and units of the input's files.
    """
    old, new = (scene.cameras.c2w[list(views)].double() for scene in (before, after))
    relative = old[:, :, :3].mT @ new[:, :, :3]
    axis = torch.linalg.matrix_norm(relative - torch.eye(3, dtype=torch.float64)) / math.sqrt(8)
    degrees = 2 * torch.rad2deg(torch.asin(axis.clamp(max=1)))
    shift = (old[:, :, 3] - new[:, :, 3]).norm(dim=1) * before.units
    return {
        "steps": STEPS,
        "median_degrees": round(float(degrees.median()), 4),
        "median_shift": round(float(shift.median()), 6),
    }


def fitted_line(moved: dict[str, Any]) -> str:
    """What `moves` says, as a sentence."""
    return (
        "cameras fitted to their own photos first, the field fixed: turned by "
        f"{moved['median_degrees']:.2f} degrees, shifted by {moved['median_shift']:.3g} (medians)"
    )
