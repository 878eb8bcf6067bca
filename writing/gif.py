"""GIFs that loop for ever, of a size that can be sent."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2

from errors import UserError
from writing.ffmpeg import run_ffmpeg
from writing.files import replacing, scratch
from writing.frames import Frame, Picture, evenly

SENDABLE = 8_000_000  # bytes: what messengers and forums take

# The format counts in hundredths of a second, and players slow down what is shorter than two.
FASTEST = 50.0
# Frames are left out, as far as SMOOTH a second, before a picture gets fewer pixels than CLEAR;
# as far as CHOPPY before it gets fewer than LEGIBLE.
SMOOTH, CLEAR = 12.0, 400 * 400
CHOPPY, LEGIBLE = 5.0, 220 * 220
# Bytes grow with the width to this power on photos: smaller pictures have more detail a pixel.
GROWTH = 1.8
SAMPLES = 12  # places of the film that palette and trial look at, two frames at each
ENCODES = 6  # two or three are usual
NARROWEST = 32  # pixels


@dataclass(frozen=True)
class Gif:
    """What was written: pixels, frames a second (on average), frames, bytes."""

    width: int
    height: int
    fps: float
    frames: int
    bytes: int


@dataclass(frozen=True)
class Plan:
    """Width in pixels, and every which frame is kept."""

    width: int
    step: int


def write_gif(
    path: Path,
    frames: Iterable[Frame],
    fps: float,
    max_width: int | None = None,
    max_bytes: int | None = None,
) -> Gif:
    """Write a GIF that loops for ever; returns its size and speed.

    frames: uint8 (height, width, 3), all of one size. They are read two or three times: a sequence
        that reads from files (StoredFrames) is held one at a time, a plain iterator as a list.
    fps: frames a second; the film keeps its length, to within a frame.
    max_width: pixels; wider frames are shrunk.
    max_bytes: where the file would be larger, frames are shrunk, and some left out, evenly.

    All frames share one palette, and the faint pattern that hides its steps stands still: what does
    not move does not flicker. Raises UserError where there is no frame, sizes differ, ffmpeg fails
    or no GIF is small enough; OSError where the disk refuses; the file then stays as it was.
    """
    film = frames if isinstance(frames, Sequence) else list(frames)
    if len(film) == 0:
        raise UserError(f"{path}: there are no frames to write")
    height, width = film[0].shape[:2]
    step = next(step for step in itertools.count(1) if fps / step <= FASTEST)
    best = Plan(min(width, max_width or width), step)
    with replacing(path) as temporary, scratch(temporary.with_suffix(".png")) as palette:
        trial_width = min(best.width, round(math.sqrt(CLEAR * width / height)))
        samples = [shrink(film[i], trial_width) for i in sample_indices(len(film))]
        write_palette(palette, samples, path)

        def encode(frames: Iterable[Frame], step: int) -> int:
            encode_gif(temporary, frames, fps / step, palette, path)
            return temporary.stat().st_size

        plan = best
        if max_bytes is not None and len(film) > 2 * len(samples):
            each = encode(samples, 1) / len(samples)
            goal = 0.95 * max_bytes
            plan = choose(best, trial_width, each, len(film), fps, height / width, goal)
        for attempt in range(ENCODES):
            done = plan
            kept = range(0, len(film), done.step)
            size = encode((shrink(film[i], done.width) for i in kept), done.step)
            if max_bytes is None:
                break
            # The trial may have been too careful: a fifth of the width is worth another encoding.
            timid = attempt == 0 and done != best and size < 0.7 * max_bytes
            if size <= max_bytes and not timid:
                break
            goal = (0.95 - 0.05 * attempt) * max_bytes
            plan = choose(best, done.width, size / len(kept), len(film), fps, height / width, goal)
        else:
            raise UserError(
                f"{path}: no GIF of this film fits {max_bytes} bytes: with {len(kept)} frames, "
                f"{done.width} pixels wide, it has {size}"
            )
    return Gif(
        done.width, shrunk_height(height, width, done.width), fps / done.step, len(kept), size
    )


def sample_indices(count: int) -> list[int]:
    """Evenly spread places of a film, two neighbours at each: what stands still costs little."""
    if count <= 2 * SAMPLES:
        return list(range(count))
    return [i + j for i in evenly(count - 1, SAMPLES) for j in (0, 1)]


def choose(
    best: Plan, width: int, each: float, count: int, fps: float, aspect: float, goal: float
) -> Plan:
    """The largest and smoothest GIF of about `goal` bytes.

    best: what the film has at most; width, each: what a frame of that width took, in bytes;
    count, fps, aspect: the film's frames, frames a second, height / width.
    """
    step = best.step
    while True:
        frames = len(range(0, count, step))
        ratio = goal / (frames * each)
        possible = max(NARROWEST, int(width * ratio ** (1 / GROWTH)))
        plan = Plan(min(best.width, possible), step)
        area = plan.width**2 * aspect
        slower = fps / (step + 1)
        if (
            possible >= best.width
            or area >= CLEAR
            or (area >= LEGIBLE and slower < SMOOTH)
            or slower < CHOPPY
        ):
            return plan
        step += 1


def shrink(frame: Picture, width: int) -> Picture:
    """`frame` at `width` pixels, averaged; as it is where it has that width."""
    if frame.shape[1] == width:
        return frame
    size = (width, shrunk_height(frame.shape[0], frame.shape[1], width))
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA)


def shrunk_height(height: int, width: int, to_width: int) -> int:
    return max(1, round(height * to_width / width))


def write_palette(palette: Path, samples: Sequence[Frame], goal: Path) -> None:
    """Write the 255 colours that suit all samples best, and transparent, as an image."""
    options = ["-vf", "palettegen=stats_mode=full", "-frames:v", "1", "-update", "1"]
    run_ffmpeg(samples, 25, options, palette, goal)


def encode_gif(
    output: Path, frames: Iterable[Frame], fps: float, palette: Path, goal: Path
) -> None:
    """Write `frames` with the colours of `palette`.

    An ordered pattern of one or two levels (Bayer, its weakest) hides the steps in a sky or a wall
    for 4 % of the size. It depends on the place alone, so it stands still, which error diffusion
    does not.
    """
    use = "[0:v][1:v]paletteuse=dither=bayer:bayer_scale=5:diff_mode=rectangle"
    options = ["-i", str(palette), "-filter_complex", use, "-loop", "0", "-f", "gif"]
    run_ffmpeg(frames, fps, options, output, goal)
