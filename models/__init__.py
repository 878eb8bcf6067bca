"""The models by name. A new one is one folder or file, and one line here."""

from __future__ import annotations

from errors import UserError

from . import nerf, tensorf, voxels
from .spec import ModelSpec

model_dict: dict[str, ModelSpec] = {
    "nerf": nerf.SPEC,
    "tensorf": tensorf.SPEC,
    "voxels": voxels.SPEC,
}


def find_model(name: str) -> ModelSpec:
    """The model of --model. Raises UserError where there is none of that name."""
    if name not in model_dict:
        raise UserError(f"--model {name}: not one of {', '.join(model_dict)}")
    return model_dict[name]
