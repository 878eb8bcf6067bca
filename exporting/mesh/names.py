"""Names of a surface's files, apart from the libraries that write them."""

from __future__ import annotations

from pathlib import Path

from errors import UserError

MESH_ENDINGS = (".glb", ".ply", ".obj", ".stl")
POINT_ENDINGS = (".ply",)


def check_name(flag: str, name: str | None, endings: tuple[str, ...]) -> None:
    """Raise UserError where a file's name has another ending."""
    if name is not None and Path(name).suffix.lower() not in endings:
        raise UserError(f"{flag} {name}: the file's name ends in {', '.join(endings)}")
