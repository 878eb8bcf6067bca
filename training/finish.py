"""What is said before a training, and what follows it: its end, or why there was none."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from errors import UserError, explain
from evaluation.pictures import compare_view
from evaluation.protocol import Protocol

from .callbacks.record import log_folder
from .config import RunConfig
from .ending.photo_table import photo_table, summary
from .ending.whole_split import validate_whole
from .system import RadianceSystem
from .trainer import Run, steps_per_epoch
from .validation import log_images

# The validation at the end begins no further view after so many seconds, or this share of the
# training's.
_VALIDATE_SECONDS, _VALIDATE_SHARE = 60.0, 0.2
_LARGE_PHOTO = 2000  # pixels along a side


def announce(system: RadianceSystem, config: RunConfig, processes: int, accelerator: str) -> None:
    """Say what is trained on what."""
    scene, spec = system.scene, system.spec
    if system.depth is not None:
        count = len(system.depth.observations)
        print(f"{scene.name}: {count} observations of sparse points supervise depth")
    steps = steps_per_epoch(config, spec, system.train_photos, processes)
    print(
        f"{scene.name}: {len(scene.splits['train'])} photos to train on, {steps} steps an epoch, "
        f"on {processes} {accelerator.upper()}"
    )
    width, height = scene.cameras.size[scene.splits["train"]].amax(dim=0).tolist()
    if max(width, height) > _LARGE_PHOTO:
        print(f"large photos: --img_wh {width // 4} {height // 4} would take a sixteenth of memory")


def finish(system: RadianceSystem, run: Run, right_half: bool) -> None:
    """Measure the whole validation split as eval.py does, and say how good the field is.

    Args:
        right_half: views are measured on their right halves (--encode_appearance).
    """
    step = run.trainer.global_step
    protocol = Protocol(right_half, system.exposure is not None, system.refinement is not None)
    seconds = max(_VALIDATE_SECONDS, _VALIDATE_SHARE * run.clock.seconds)
    result = validate_whole(system, protocol, seconds)
    run.record.add(
        {"validation": {"psnr": result.psnr, "ssim": result.ssim, "views": result.views}}
    )
    photos = photo_table(system, run.errors.psnr)
    run.record.add({"training_photos": photos})
    if len(photos) > 1:
        print(summary(photos))
    if result.first is not None and log_folder(run.trainer) is not None:
        photo = system.scene.photos([system.scene.splits["val"][0]]).image(0).numpy()
        stack = compare_view(result.first.image, result.first.depth, photo)
        log_images(system.logger, step, stack)
    fitted = ", each from its camera as fitted to its photo" if protocol.fitted else ""
    print(
        f"{step} steps in {run.clock.seconds:.0f} s, {result}{fitted}; "
        f"next: python eval.py --ckpt_path {run.keep_last.path}, "
        f"or look around: python view.py --ckpt_path {run.keep_last.path}"
    )


@contextlib.contextmanager
def going_on(run: Run, config: RunConfig, resume_from: str | None = None) -> Iterator[None]:
    """Failures that a user can mend end with the command that goes on; Ctrl-C stays Ctrl-C.

    Args:
        resume_from: the checkpoint of the run that is gone on with. What fails before the first
            step is done fails by the state in it.
    """
    try:
        yield
    except UserError:
        raise
    except SystemExit as stop:
        if not isinstance(stop.__context__, KeyboardInterrupt):
            raise
        # Lightning's answer to Ctrl-C, outside of the steps that KeepLast watches.
        path = _last_checkpoint(run, config)
        if path is not None:
            print(f"\n{go_on_with(path)}")
        raise KeyboardInterrupt from None
    except Exception as error:
        line = explain(error)
        if line is None and resume_from is not None and run.clock.steps == 0:
            raise UserError(
                f"{resume_from}: the state of its training is damaged ({error!r}); go on from "
                "another checkpoint of the run, or train again"
            ) from error
        if line is None:
            raise
        path = _last_checkpoint(run, config)
        advice = "nothing had been saved yet: start again" if path is None else go_on_with(path)
        raise UserError(f"{line}; {advice}") from error


def go_on_with(path: Path | str) -> str:
    return f"go on with: python train.py --ckpt_path {path}"


def _last_checkpoint(run: Run, config: RunConfig) -> Path | None:
    """The newest checkpoint that this run has written, or has begun from."""
    last = run.keep_last
    if last.files.has_written(last.path):
        return last.path
    return Path(config.ckpt_path) if config.ckpt_path else None
