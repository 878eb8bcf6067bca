"""Draw a scene's cameras, rays and sample points: python plot_rays.py --root_dir ..."""

from __future__ import annotations

if __name__ == "__main__":
    import interrupts  # noqa: F401 (before the imports that take time)

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from cli import parse
from datasets import load_scene
from datasets.config import SceneConfig
from datasets.loaders.ray_dataset import RaysDataset
from datasets.scene import Scene
from errors import UserError, run_command
from learn.rayplot.draw import draw_all, draw_one
from learn.rayplot.sample import (
    DrawnRays,
    draw_through,
    in_corner,
    in_view,
    one_per_camera,
    visible_range,
)


@dataclass(frozen=True)
class PlotOptions(SceneConfig):
    """Draw cameras as frusta, rays through chosen pixels, and the points that are sampled."""

    split: Literal["train", "val", "test"] = "train"
    """views whose cameras are drawn"""
    view: int = 0
    """the view whose rays are drawn alone"""
    corner: Literal["top_left", "top_right", "bottom_left", "bottom_right"] = "top_left"
    """the corner of that view whose rays are drawn as seen from its camera"""
    n_rays: int = 100
    """rays over all cameras, and a quarter as many of the one"""
    n_samples: int = 32
    """sample points on each ray"""
    perturb: bool = True
    """shift the sample points at random, as training does"""
    seed: int = 0
    """seed of the choice of pixels"""
    out_dir: str | None = None
    """folder of the pictures; by default results/rays/<name of the scene>"""
    interactive: bool = False
    """show the cameras in a browser instead: a click on an image lights up the pixel's ray"""
    port: int = 8080
    """port of --interactive, on this machine alone"""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("n_rays", "n_samples"):
            if getattr(self, name) <= 0:
                raise UserError(f"--{name} must be positive, not {getattr(self, name)}")
        if not 0 < self.port < 65536:
            raise UserError(f"--port must be between 1 and 65535, not {self.port}")


def main() -> None:
    options = parse(PlotOptions)
    scene = load_scene(options)
    views = scene.splits.get(options.split, [])
    if not views:
        raise UserError(f"{scene.name} has no {options.split} views")
    if not 0 <= options.view < len(views):
        raise UserError(f"--view {options.view}: {options.split} has views 0 to {len(views) - 1}")
    dataset = RaysDataset.from_scene(scene, options.split, seed=options.seed)
    if options.interactive:
        from learn.rayplot.interactive import serve

        serve(scene, options.split, dataset, options.n_samples, options.port)
    else:
        plot(options, scene, dataset)


def plot(options: PlotOptions, scene: Scene, dataset: RaysDataset) -> None:
    """Write the four pictures."""
    views = scene.splits[options.split]
    cameras = scene.cameras[views]
    cameras = replace(cameras, c2w=cameras.c2w.cpu())
    photos = [dataset.photos.image(i).numpy() for i in range(len(views))]
    folder = Path(options.out_dir or Path("results") / "rays" / scene.name)
    generator = torch.Generator().manual_seed(options.seed)
    bounds = visible_range(scene)
    up = np.array(scene.up)

    def through(index: torch.Tensor) -> DrawnRays:
        return draw_through(dataset, index, bounds, options.n_samples, options.perturb)

    torch.manual_seed(options.seed)
    name, view = f"{scene.name}, {options.split}", options.view
    for file, index, title in (
        ("one_per_camera", one_per_camera(dataset, generator), "one ray a camera"),
        ("over_all", dataset.sample_indices(options.n_rays), f"{options.n_rays} rays over all"),
    ):
        path = folder / f"{file}.png"
        draw_all(path, cameras, photos, through(index), up, f"{name}: {title}")
        print(path)
    for file, index, title in (
        ("one_camera", in_view(dataset, view, max(1, options.n_rays // 4), generator), "rays"),
        (f"{options.corner}", in_corner(dataset, view, options.corner), "rays"),
    ):
        corner = file != "one_camera"
        title = f"the {file.replace('_', ' ')} corner" if corner else "random pixels"
        path = folder / f"{file}.png"
        draw_one(
            path,
            cameras[[view]],
            view,
            photos[view],
            through(index),
            f"{name}: rays of {title} of view {view}" + (", from its camera" if corner else ""),
            from_behind=corner,
        )
        print(path)


if __name__ == "__main__":
    run_command(main)
