"""Where a training starts: at the weights of a checkpoint, or where the run in it stopped."""

from __future__ import annotations

import re
from pathlib import Path

from torch import nn

from datasets.scene import Scene
from errors import UserError
from training.checkpoints import Checkpoint, Progress, read_checkpoint
from training.config import RunConfig
from training.same_scene import is_same_scene
from training.trainer import Run

_MISFIT = re.compile(r"size mismatch for ([\w.]+)")
# Weights that belong to the photos that a field was trained on.
_OF_PHOTOS = ("appearance.", "refinement.")


def start_from(system: nn.Module, config: RunConfig, scene: Scene) -> Progress | None:
    """Load the weights of --ckpt_path; returns how far the run in it is if it is to be resumed.

    Of another scene a run starts from the weights alone, under another name than the one that it
    had there.

    Raises UserError for weights that do not fit, or for another scene's run under its own name. A
    field that grows takes on the size that it had reached.
    """
    if not config.ckpt_path:
        return None
    path = Path(config.ckpt_path)
    checkpoint = read_checkpoint(path)
    ignored = config.prefixes_to_ignore
    foreign = _is_foreign(checkpoint, scene)
    if foreign:
        _check_name(checkpoint, path, config.exp_name, scene)
        ignored = (*ignored, *_OF_PHOTOS)
    weights = checkpoint.weights(ignored)
    own = system.state_dict()
    misfit = next((name for name in weights if name not in own), None)
    if misfit is None:
        try:
            system.load_state_dict(weights, strict=False)
        except (RuntimeError, TypeError, ValueError, LookupError) as error:
            found = _MISFIT.search(str(error))
            if found is None:  # of other types, or a grid of impossible numbers
                told = f"{path}: its weights are damaged ({error}); copy it again"
                raise UserError(told) from error
            misfit = found[1]
    if misfit is not None:
        raise UserError(
            f"{path}: {misfit} {tuple(weights[misfit].shape)} does not fit the network that the "
            "options describe; leave out the options that differ, or see --prefixes_to_ignore"
        )
    if checkpoint.resumable and len(weights) == len(own) and not foreign:
        return checkpoint.progress
    of_another = ", of another scene" if foreign else ""
    print(
        f"{path}: {len(weights)} of {len(own)} weights loaded{of_another}; training starts at "
        "step 0"
    )
    return None


def reached_limit(run: Run, config: RunConfig, done: Progress) -> str | None:
    """What ended the run already, as a sentence that says how to go on; None where there is more
    to train."""
    clock, epochs = run.clock, run.trainer.max_epochs
    if config.max_steps is not None and done.steps >= config.max_steps:
        reached, more = f"--max_steps {config.max_steps}", "--max_steps"
    elif config.max_time is not None and done.seconds >= config.max_time:
        reached, more = f"--max_time {config.max_time:g}", "--max_time"
    elif (clock.max_rays is not None and done.rays >= clock.max_rays) or (
        epochs is not None and 0 < epochs <= done.epochs
    ):
        reached, more = f"--num_epochs {config.num_epochs}", "--num_epochs"
    else:
        return None
    return (
        f"{config.ckpt_path} has reached {reached} (step {done.steps}, {done.seconds:.0f} s): "
        f"nothing to do; give a larger {more} to train on, or render it: "
        f"python eval.py --ckpt_path {config.ckpt_path}"
    )


def _is_foreign(checkpoint: Checkpoint, scene: Scene) -> bool:
    """Whether a run that could be resumed is another scene's."""
    if not checkpoint.resumable or checkpoint.scene is None:
        return False
    return not is_same_scene(checkpoint.scene, checkpoint.photo_names, scene)


def _check_name(checkpoint: Checkpoint, path: Path, name: str, scene: Scene) -> None:
    """Raise UserError where training would replace the checkpoints of the other scene."""
    assert checkpoint.scene is not None
    folder = Path("ckpts") / name
    if name == checkpoint.options.get("exp_name") or path.resolve().parent == folder.resolve():
        raise UserError(
            f"{path}: this checkpoint is of another scene ({checkpoint.scene.name}; the photos or "
            f"poses of {scene.name} are not its own); choose another --exp_name, which starts from "
            "its weights alone, at step 0, or leave out --ckpt_path"
        )
