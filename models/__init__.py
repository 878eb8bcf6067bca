"""Fields, sampling and rendering."""

from __future__ import annotations

from opt import TrainOptions

from .nerf import NeRF


def build_field(options: TrainOptions) -> NeRF:
    """An untrained field as the options have it."""
    return NeRF(
        options.netdepth, options.netwidth, options.N_emb_xyz, options.N_emb_dir, options.netskip
    )
