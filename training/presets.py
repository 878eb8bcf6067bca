"""Known settings by name: --preset takes them where no flag says otherwise."""

from __future__ import annotations

from dataclasses import replace

from opt import TrainOptions

# The second part of Berkeley's CS180 project: 10,000 random rays a step over all images, 64
# samples from 2 to 6, Adam with a constant 5e-4, PSNR on 6 validation views every 50 iterations.
# The handout's scene is 200 x 200 pixels.
_CS180 = replace(
    TrainOptions(),
    preset="cs180",
    batch_size=10_000,
    N_samples=64,
    N_importance=0,
    near=2.0,
    far=6.0,
    noise_std=0.0,
    optimizer="adam",
    lr=5e-4,
    decay_step=(1_000_000,),
    max_steps=3000,
    val_every_steps=50,
    val_views=6,
    val_rays=0,
    snapshots=(0, 100, 200, 500, 700, 900, 1500),
    save_top_k=1,
)

PRESETS: dict[str, TrainOptions] = {"cs180": _CS180}
