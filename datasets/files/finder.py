"""Finding the photo that a file of poses means: spellings, other folders, other machines' paths."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path, PurePosixPath

from datasets.files.text import is_file, is_folder

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
# Folders of a scene in which what bears a photo's name is something else.
_OTHERS = ("mask", "depth", "normal", "label", "segment", "results", "render", "sparse", "cache")
# So many folders deep, and so many files in all, are looked through.
_DEPTH, _FILES = 4, 200_000


class Finder:
    """The photos under a scene's folder, by their names without the case and without the ending.

    The folders are listed only when something is not where it is said to be.
    """

    def __init__(self, root: Path, others: tuple[str, ...] = _OTHERS) -> None:
        self.root = root
        self._others = others

    def find(self, name: object) -> Path | None:
        """The photo of this name or path: of files, not of folders; None where there is none.

        In this order: the path as it is, under the root or in images/, with one of the usual
        endings where it has none; then the photo below the root whose path has the most of the
        last parts of `name`, whichever its ending. With as much in common, the shorter path is
        taken, and the first of the endings.
        """
        if not isinstance(name, str) or not name.strip():
            return None
        return self._as_named(name) or self._elsewhere(PurePosixPath(name.replace("\\", "/")))

    def is_exact(self, name: object) -> bool:
        """Whether the photo is where the name says, and needs no search."""
        if not isinstance(name, str):
            return False
        return self._ending_added(self.root / Path(name.replace("\\", "/"))) is not None

    def find_mask(self, name: object) -> Path | None:
        """A mask where its name says, or with the name's ending in another case."""
        if not isinstance(name, str) or not name.strip():
            return None
        given = Path(name.replace("\\", "/"))
        return self._as_named(name) or find_beside((self.root / given).parent, (given.name,))

    def _as_named(self, name: str) -> Path | None:
        given = Path(name.replace("\\", "/"))
        for base in (self.root / given, self.root / "images" / given.name, self.root / given.name):
            found = self._ending_added(base)
            if found is not None:
                return found
        return None

    @staticmethod
    def _ending_added(base: Path) -> Path | None:
        """The file of this path, or of this path and an ending."""
        if is_file(base) or not base.name:
            return base if base.name else None
        for ending in ENDINGS:
            for spelling in (ending, ending.upper()):
                named = base.with_name(base.name + spelling)
                if is_file(named):
                    return named
        return None

    def _elsewhere(self, given: PurePosixPath) -> Path | None:
        wanted = [part.casefold() for part in given.parts]
        stems = {_stem(given.name), given.name.casefold()}
        found = [path for stem in stems for path in self._by_stem.get(stem, [])]

        def unlike(path: Path) -> tuple[int, int, int, str]:
            parts = [part.casefold() for part in path.relative_to(self.root).parts]
            common = 0
            while (
                common < min(len(parts), len(wanted)) - 1
                and parts[-2 - common] == wanted[-2 - common]
            ):
                common += 1
            ending = ENDINGS.index(path.suffix.lower())
            other_ending = 0 if path.name.casefold() == wanted[-1] else 1 + ending
            return -common, len(parts), other_ending, path.as_posix()

        return min(found, key=unlike, default=None)

    @cached_property
    def _by_stem(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = {}
        count = 0
        for folder, folders, files in os.walk(self.root):
            depth = len(Path(folder).relative_to(self.root).parts)
            folders[:] = sorted(
                name
                for name in folders
                if depth < _DEPTH
                and not name.startswith(".")
                and not any(other in name.casefold() for other in self._others)
            )
            for name in files:
                if Path(name).suffix.lower() in ENDINGS and not name.startswith("."):
                    found.setdefault(_stem(name), []).append(Path(folder) / name)
            count += len(files)
            if count > _FILES:
                break
        return found


def _stem(name: str) -> str:
    """The name without its image's ending, without the case."""
    path = PurePosixPath(name)
    return (path.stem if path.suffix.lower() in ENDINGS else path.name).casefold()


def find_beside(folder: Path, names: tuple[str, ...]) -> Path | None:
    """The first of these names that is a file in the folder; also in another case."""
    for name in names:
        if is_file(folder / name):
            return folder / name
    if not is_folder(folder):
        return None
    there = {entry.name.casefold(): entry for entry in sorted(folder.iterdir())}
    for name in names:
        other = there.get(name.casefold())
        if other is not None and is_file(other):
            return other
    return None


def list_photos(folder: Path) -> list[Path]:
    """The photos of a folder in the order of their names; hidden files and others are ignored."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in ENDINGS and not path.name.startswith(".") and is_file(path)
    )


def some(names: list[str], count: int = 3) -> str:
    """The first few of many names, and how many more there are."""
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return f"{', '.join(names[:count])}{more}"
