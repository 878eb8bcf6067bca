"""A user's mistake ends in one line that says what is wrong and what to do, and exit code 2."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable

_LONGEST_LINE = 700


class UserError(Exception):
    """Something that the user can mend; its text is the one line that they read.

    What names from files bring along is made fit for a line: line breaks and other characters that
    do not print become blanks, and the middle of a line without end is left out.
    """

    def __init__(self, message: str) -> None:
        line = "".join(c if c.isprintable() else " " for c in message)
        if len(line) > _LONGEST_LINE:
            line = f"{line[: _LONGEST_LINE - 205]} ... {line[-200:]}"
        super().__init__(line)


def require(condition: bool, message: str) -> None:
    """Raise UserError with this message unless the condition holds."""
    if not condition:
        raise UserError(message)


def require_positive(options: object, name: str) -> None:
    """Raise UserError where an option of this name is given and not positive."""
    value = getattr(options, name)
    require(value is None or value > 0, f"--{name} must be positive, not {value}")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that a device or the machine has no memory left."""
    if isinstance(error, MemoryError):
        return True
    # torch raises a plain RuntimeError for the CPU, a subclass of it for CUDA.
    text = str(error)
    return isinstance(error, RuntimeError) and (
        "out of memory" in text or "can't allocate memory" in text
    )


def is_lost_process(error: BaseException) -> bool:
    """Whether `error` says that another process of the run is gone."""
    # Gloo raises a plain RuntimeError, NCCL and the store a subclass of it.
    text = str(error)
    return isinstance(error, RuntimeError) and (
        type(error).__module__ == "torch.distributed"
        or ("gloo" in text and ("by peer" in text or "connect" in text or "closed" in text))
    )


def explain(error: BaseException) -> str | None:
    """The line for a user whose machine or files caused `error`; None where it is our bug."""
    if isinstance(error, UserError):
        return str(error)
    if is_out_of_memory(error):
        return "out of memory: try a smaller --batch_size, --chunk or --img_wh"
    if is_lost_process(error):
        return "another process of this run has ended (killed, or out of memory?)"
    if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        return "--compile does not work here (it needs a C++ compiler, or Triton); leave it out"
    if isinstance(error, OSError) and error.errno is not None:
        where = f"{error.filename}: " if error.filename else ""
        reason = os.strerror(error.errno)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            reason += "; free some space or write elsewhere"
        return where + reason
    return None


def run_command(main: Callable[[], None], should_report: Callable[[], bool] = lambda: True) -> None:
    """Run a script's `main`; what the user can mend is told in one line, with exit code 2.

    should_report: asked before an error is told; False where another process has told it.
    """
    from_start = signal.getsignal(signal.SIGINT) is signal.SIG_DFL  # set by interrupts.py
    if from_start:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGTERM) is None:  # pycolmap's, which tells of its stack
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if _is_interrupt(error):
            sys.exit(130)
        line = explain(error)
        if not should_report():
            sys.exit(2)
        if line is None:
            raise
        print(f"{os.path.basename(sys.argv[0])}: {' '.join(line.split())}", file=sys.stderr)
        sys.exit(2)
    finally:
        # The work is done or given up: Ctrl-C cuts short what Python tidies up, without words.
        if from_start:
            signal.signal(signal.SIGINT, signal.SIG_DFL)


def _is_interrupt(error: BaseException | None) -> bool:
    """Whether an error follows from Ctrl-C: what it broke off may fail in its own words."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None
