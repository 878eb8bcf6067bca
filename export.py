"""Take a trained scene along: python export.py --ckpt_path ckpts/pig/last.ckpt --web pig.html"""

from __future__ import annotations

if __name__ == "__main__":
    import interrupts  # noqa: F401 (before the imports that take time)

from dataclasses import dataclass
from pathlib import Path

from api import load
from cli import parse
from errors import UserError, require, run_command
from exporting.mesh.names import MESH_ENDINGS, POINT_ENDINGS, check_name
from exporting.web.page import export_page


@dataclass(frozen=True)
class ExportOptions:
    """Write a trained scene as one web page that renders it, as a mesh or as points."""

    ckpt_path: str
    """checkpoint of the trained scene"""
    web: str | None = None
    """HTML file to write: one page that shows the scene in any browser, without a network"""
    web_mb: float = 25.0
    """megabytes that the page may have; what shows least is left out until it fits"""
    bake_seconds: float = 600.0
    """seconds to make a voxel field, which alone a page shows, of a scene of another model; half of
    them for the pictures that it learns from"""
    mesh: str | None = None
    """surface to write, with colours: a file that ends in .glb, .ply, .obj or .stl"""
    faces: int = 200_000
    """faces that the mesh has at most"""
    watertight: bool = False
    """close the mesh, for a 3D printer"""
    points: str | None = None
    """coloured points of the surface to write: a file that ends in .ply"""
    accelerator: str = "auto"
    """auto, cpu, gpu, cuda or mps"""

    def __post_init__(self) -> None:
        chosen = (self.web, self.mesh, self.points)
        require(any(chosen), "say what to write: --web pig.html, --mesh pig.glb, --points pig.ply")
        require(0 < self.web_mb < float("inf"), f"--web_mb must be positive, not {self.web_mb}")
        require(
            0 < self.bake_seconds < float("inf"),
            f"--bake_seconds must be positive, not {self.bake_seconds}",
        )
        if self.web is not None and Path(self.web).suffix.lower() not in (".html", ".htm"):
            raise UserError(f"--web {self.web}: the page's name ends in .html")
        check_name("--mesh", self.mesh, MESH_ENDINGS)
        check_name("--points", self.points, POINT_ENDINGS)
        require(self.faces >= 100, f"--faces must be at least 100, not {self.faces}")


def main() -> None:
    options = parse(ExportOptions)
    model = load(options.ckpt_path, options.accelerator)
    if options.web is not None:
        export_page(Path(options.web), model, options.web_mb, options.bake_seconds)
    if options.mesh is not None or options.points is not None:
        from exporting.mesh.export import export_surface  # scikit-image takes its time

        mesh, points = (None if p is None else Path(p) for p in (options.mesh, options.points))
        export_surface(model, mesh, points, options.faces, options.watertight)


if __name__ == "__main__":
    run_command(main)
