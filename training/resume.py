"""Where a training starts: at the weights of a checkpoint, or where the run in it stopped."""

from __future__ import annotations

import re
from pathlib import Path

from torch import nn

from errors import UserError
from training.checkpoints import read_checkpoint

_MISFIT = re.compile(r"size mismatch for ([\w.]+)")


def start_from(
    system: nn.Module, ckpt_path: str | None, prefixes_to_ignore: tuple[str, ...]
) -> str | None:
    """Load the weights of --ckpt_path; returns the path if the run in it is to be resumed.

    Raises UserError for weights that do not fit. A field that grows takes on the size that it had
    reached.
    """
    if not ckpt_path:
        return None
    path = Path(ckpt_path)
    checkpoint = read_checkpoint(path)
    weights = checkpoint.weights(prefixes_to_ignore)
    own = system.state_dict()
    misfit = next((name for name in weights if name not in own), None)
    if misfit is None:
        try:
            system.load_state_dict(weights, strict=False)
        except RuntimeError as error:
            found = _MISFIT.search(str(error))
            if found is None:
                raise
            misfit = found[1]
    if misfit is not None:
        raise UserError(
            f"{path}: {misfit} {tuple(weights[misfit].shape)} does not fit the network that the "
            "options describe; leave out the options that differ, or see --prefixes_to_ignore"
        )
    if checkpoint.resumable and len(weights) == len(own):
        return str(path)
    print(f"{path}: {len(weights)} of {len(own)} weights loaded; training starts at step 0")
    return None
