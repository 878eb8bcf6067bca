"""Frames through ffmpeg, one at a time, with its failures as errors of ours."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import subprocess
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path

import imageio_ffmpeg
import numpy as np

from errors import UserError
from writing.frames import Frame

# What ffmpeg may open for a file that somebody sent, which may be a list of addresses.
PROTOCOLS = "file"
# What a disk or a folder may refuse; ffmpeg tells it in the system's words.
REFUSALS = [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EFBIG]
REFUSALS += [errno.EIO, errno.ENAMETOOLONG]


def run_ffmpeg(
    frames: Iterable[Frame], rate: float, options: Sequence[str], output: Path, goal: Path
) -> None:
    """Give `frames` to ffmpeg as its input 0 and let it write `output`.

    frames: uint8 (height, width, 3), all of one size; read once, one held at a time.
    rate: frames a second.
    options: further inputs, filters and codecs.
    goal: the file that the user knows, named in errors.

    Raises UserError where there is no frame, sizes differ or ffmpeg fails (with the last line that
    it wrote), OSError where the disk is full or does not let us write.
    """
    rest = iter(frames)
    first = next(rest, None)
    if first is None:
        raise UserError(f"{goal}: there are no frames to write")
    height, width = first.shape[:2]
    command = [ffmpeg_program(), "-hide_banner", "-nostdin", "-nostats", "-loglevel", "error", "-y"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", f"{width}x{height}"]
    command += ["-framerate", f"{rate:.6f}", "-i", "pipe:0", *options, str(output)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        # Read while we write: ffmpeg would wait for ever with its error pipe full.
        lines: deque[bytes] = deque(maxlen=20)
        reader = threading.Thread(target=lines.extend, args=(process.stderr,), daemon=True)
        reader.start()
        try:
            # A pipe that breaks: ffmpeg has ended, and its own words say why.
            with contextlib.suppress(BrokenPipeError, ConnectionError):
                for number, frame in enumerate(itertools.chain([first], rest)):
                    if frame.shape != first.shape:
                        sizes = f"{frame.shape[1]}x{frame.shape[0]}, the first {width}x{height}"
                        message = f"{goal}: frame {number} is {sizes}; all must have one size"
                        raise UserError(message)
                    process.stdin.write(np.ascontiguousarray(frame).data)
                process.stdin.close()
            close_quietly(process)
            process.wait()
        except BaseException:
            process.kill()
            raise
        finally:
            close_quietly(process)
        reader.join()
    if process.returncode != 0:
        raise failure(lines, process.returncode, goal)


def ffmpeg_program() -> str:
    """Path of ffmpeg, as the package imageio-ffmpeg finds it; UserError where there is none."""
    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise UserError("no ffmpeg found: pip install 'imageio[ffmpeg]'") from error


def source(path: Path) -> list[str]:
    """ffmpeg's options for a file to read, whatever its name and content."""
    return ["-protocol_whitelist", PROTOCOLS, "-i", f"file:{path}"]


def close_quietly(process: subprocess.Popen[bytes]) -> None:
    """Close ffmpeg's input; what is left in the buffer for a process that has ended is lost."""
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.close()


def failure(lines: Iterable[bytes], code: int, goal: Path) -> Exception:
    """The error for what ffmpeg wrote before it ended with `code`."""
    told = [line.decode(errors="replace").strip() for line in lines]
    told = [line for line in told if line]
    # Only the first complaints name the cause; "Conversion failed!" and the like follow.
    for line in told:
        for number in REFUSALS:
            if line.endswith(os.strerror(number)):
                return OSError(number, os.strerror(number), str(goal))
    reason = told[-1] if told else f"it ended with code {code}"
    return UserError(f"{goal}: ffmpeg could not write it: {reason}")
