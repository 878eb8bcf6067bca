"""The kinds of files: small valid ones, how to damage them, what reads them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.readers import read_checkpoint_file, read_log_files, read_path_file, read_run
from tests.fuzz.readers import read_scene, read_steps
from tests.fuzz.mutate import mutate_bytes, mutate_json, mutate_text
from tests.fuzz import files

Mutate = Callable[[bytes, random.Random], bytes]


@dataclass
class Target:
    """A kind of file.

    Attributes:
        make: writes valid files into a folder; each of several is as likely.
        mutate: the damage, by the ending of a file's name.
        read: what must end in finite numbers, or raise UserError.
        only: parts of the names of the files that are damaged; all by default.
        cases: in `make test`.
    """

    name: str
    make: list[Callable[[Path], object]]
    mutate: dict[str, Mutate]
    read: Callable[[Path, random.Random], None]
    only: tuple[str, ...] = ("",)
    cases: int = 200
    _valid: list[dict[str, bytes]] = field(default_factory=list)

    def prepare(self) -> None:
        self._valid = [files.slurp(make) for make in self.make]

    def damage(self, root: Path, rng: random.Random) -> list[str]:
        """Write the files into `root`, one or two of them damaged; the names of all."""
        valid = dict(rng.choice(self._valid))
        for name, content in valid.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        able = [n for n in valid if Path(n).suffix in self.mutate and any(o in n for o in self.only)]
        for name in rng.sample(able, rng.choice((1, 1, 1, min(2, len(able))))):
            if rng.random() < 0.01:
                (root / name).unlink()
            else:
                mutate = self.mutate[Path(name).suffix]
                (root / name).write_bytes(mutate(valid[name], rng))
        return list(valid)


_IMAGES: dict[str, Mutate] = dict.fromkeys((".png", ".jpg", ".webp", ".tif", ".bmp"), mutate_bytes)

TARGETS = {
    target.name: target
    for target in (
        Target(
            "transforms",
            [files.transforms, files.transforms_fisheye, files.transforms_per_frame],
            {".json": mutate_json},
            read_scene("transforms"),
            cases=500,
        ),
        Target("blender", [files.blender], {".json": mutate_json}, read_scene("blender"), cases=300),
        Target("llff", [files.llff, files.llff_forward], {".npy": files.mutate_npy}, read_scene("llff"), cases=400),
        Target("npz", [files.npz], {".npz": files.mutate_npz}, read_scene("npz"), cases=400),
        Target("colmap_text", [files.colmap_text], {".txt": mutate_text}, read_scene("colmap"), cases=300),
        Target("colmap_binary", [files.colmap_binary], {".bin": mutate_bytes}, read_scene("colmap"), cases=400),
        Target("photos", [files.photos], _IMAGES, read_scene("transforms"), ("images",), cases=400),
        Target("masks", [files.transforms, files.cut_out], {".png": files.mutate_mask}, read_scene("transforms"), ("mask",)),
        Target("checkpoint", [files.checkpoint, files.nerf_pl], {".ckpt": files.mutate_checkpoint}, read_checkpoint_file, cases=300),
        Target("path", [files.path_nerfstudio, files.path_transforms], {".json": mutate_json}, read_path_file, cases=300),
        Target("events", [files.events], {"": mutate_bytes}, read_log_files),
        Target("run", [files.run], {".json": mutate_json, ".png": mutate_bytes}, read_run),
        Target("steps", [files.steps], {".json": mutate_json}, read_steps),
    )
}
