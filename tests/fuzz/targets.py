"""The kinds of files: small valid ones, how to damage them, what reads them."""

from __future__ import annotations

import io
import random
import tempfile
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz import captures, checkpoints, files, readers, runs
from tests.fuzz.mutate import mutate_bytes, mutate_json, mutate_text

Mutate = Callable[[bytes, random.Random], bytes]


@dataclass
class Target:
    """A kind of file.

    Attributes:
        make: writes valid files into a folder; each of several is as likely.
        mutate: the damage, by the ending of a file's name.
        read: what must end in finite numbers, or raise UserError.
        only: part of the names of the files that are damaged; all by default.
        cases: in `make test`.
    """

    name: str
    make: Sequence[Callable[[Path], object]]
    mutate: dict[str, Mutate]
    read: Callable[[Path, random.Random], None]
    only: str = ""
    cases: int = 200
    _valid: list[dict[str, bytes]] = field(default_factory=list)

    def prepare(self) -> None:
        """Make the valid files, and read each once: what is imported then takes time."""
        self._valid = [files.slurp(make) for make in self.make]
        for valid in self._valid:
            with tempfile.TemporaryDirectory() as place, redirect_stdout(io.StringIO()):
                _write(Path(place), valid)
                self.read(Path(place), random.Random(0))

    def damage(self, root: Path, rng: random.Random) -> list[str]:
        """Write the files into `root`, one or two of them damaged; the names of all."""
        valid = dict(rng.choice(self._valid))
        _write(root, valid)
        able = [name for name in valid if Path(name).suffix in self.mutate and self.only in name]
        for name in rng.sample(able, rng.choice((1, 1, 1, min(2, len(able))))):
            if rng.random() < 0.01:
                (root / name).unlink()
            else:
                mutate = self.mutate[Path(name).suffix]
                (root / name).write_bytes(mutate(valid[name], rng))
        return list(valid)


def _write(root: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


_JSON: dict[str, Mutate] = {".json": mutate_json}
_IMAGES: dict[str, Mutate] = dict.fromkeys(
    (".png", ".jpg", ".webp", ".tif", ".bmp", ".heic"), mutate_bytes
)
_CHECKPOINT: dict[str, Mutate] = {".ckpt": checkpoints.mutate_checkpoint}
_TRANSFORMS = [files.transforms, files.transforms_fisheye, files.transforms_per_frame]
_MASKED = [files.transforms, files.cut_out]

_all = (
    Target("transforms", _TRANSFORMS, _JSON, readers.read_scene("transforms"), cases=500),
    Target("blender", [files.blender], _JSON, readers.read_scene("blender"), cases=300),
    Target(
        "llff",
        [files.llff, files.llff_forward],
        {".npy": files.mutate_npy},
        readers.read_scene("llff"),
        cases=400,
    ),
    Target("npz", [files.npz], {".npz": files.mutate_npz}, readers.read_scene("npz"), cases=400),
    Target(
        "colmap_text",
        [files.colmap_text],
        {".txt": mutate_text},
        readers.read_scene("colmap"),
        cases=300,
    ),
    Target(
        "colmap_binary",
        [files.colmap_binary],
        {".bin": mutate_bytes},
        readers.read_scene("colmap"),
        cases=400,
    ),
    Target(
        "photos", [files.photos], _IMAGES, readers.read_scene("transforms"), "images", cases=400
    ),
    Target("masks", _MASKED, {".png": files.mutate_mask}, readers.read_scene("transforms"), "mask"),
    Target(
        "checkpoint",
        [checkpoints.checkpoint, checkpoints.nerf_pl],
        _CHECKPOINT,
        readers.read_checkpoint_file,
        cases=300,
    ),
    Target(
        "weights",
        [
            *(checkpoints.exported_nerf, checkpoints.exported_tensorf),
            *(checkpoints.exported_voxels, checkpoints.packed),
        ],
        _CHECKPOINT,
        readers.render_weights,
    ),
    Target(
        "path",
        [files.path_nerfstudio, files.path_transforms],
        _JSON,
        readers.read_path_file,
        cases=300,
    ),
    Target("events", [files.events], {".host": mutate_bytes}, readers.read_log_files),
    Target("run", [files.run], {**_JSON, ".png": mutate_bytes}, readers.read_run),
    Target(
        "page",
        [files.captured_run],
        {**_JSON, ".png": mutate_bytes},
        readers.write_report,
        cases=4,
    ),
    Target("steps", [files.steps], _JSON, readers.read_steps),
    Target("camera_photos", [captures.photo], _IMAGES, captures.read_photo, "photos", cases=40),
    Target(
        "video",
        [captures.one_video(number) for number in range(4)],
        dict.fromkeys((".mp4", ".mov", ".webm", ".avi"), captures.mutate_video),
        captures.read_video,
        cases=20,
    ),
    Target(
        "model",
        [captures.model_binary, captures.model_text],
        {".bin": mutate_bytes, ".txt": mutate_text, ".db": mutate_bytes, ".png": mutate_bytes},
        captures.convert_model,
        cases=4,
    ),
    Target(
        "work",
        [captures.solved],
        {
            **{".db": captures.mutate_database, ".json": mutate_json, ".bin": mutate_bytes},
            ".jpg": mutate_bytes,
        },
        captures.go_on,
        ".prepare",
        cases=2,
    ),
    Target("resume", [runs.trained_nerf, runs.trained_voxels], _CHECKPOINT, runs.resume, cases=10),
    Target("film", [runs.film], {**_JSON, ".png": mutate_bytes}, runs.finish_film, cases=50),
    Target("network", [runs.network], {".pt": checkpoints.mutate_checkpoint}, runs.paint, cases=50),
)
TARGETS = {target.name: target for target in _all}
