"""The models by name. A new one is one folder or file with a SPEC, and one line here."""

from __future__ import annotations

from importlib import import_module

from errors import UserError

from .spec import ModelSpec

model_dict: dict[str, ModelSpec] = {
    name: import_module(f"models.{name}").SPEC
    for name in (
        "nerf",
        "tensorf",
        "voxels",
    )
}


def find_model(name: str) -> ModelSpec:
    """The model of --model. Raises UserError where there is none of that name."""
    if name not in model_dict:
        raise UserError(f"--model {name}: not one of {', '.join(model_dict)}")
    return model_dict[name]
