"""Writes the page: fits the field to its size, and puts all that it needs into one file."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from jaxtyping import UInt8
from markupsafe import Markup
from PIL import Image

from api import Model
from datasets.scene import Scene
from errors import UserError
from evaluation.flight import film_depth_range, film_scene
from evaluation.views import render_depth, render_view
from exporting.bake import bake
from geometry.cameras import Cameras
from models.appearance.nearby import NearbyExposure
from models.rendering.image import ImageRenderer
from models.voxels.field import VoxelField
from models.voxels.picture import QuickRenderer
from models.voxels.renderer import VoxelRenderer
from paths.path import CameraPath, PathConfig
from paths.plan import plan_path
from writing.files import replacing

from .corners import field_of
from .describe import describe_field, describe_scene
from .fitting import LEVELS, fit

_VIEWER = Path(__file__).parent / "viewer"
_SCRIPTS = ("decode.js", "camera.js", "gpu.js", "player.js", "controls.js", "main.js")
_PART = 768 * 1024  # bytes of the field in each script element; a multiple of three
_FLIGHT_FRAMES, _FLIGHT_FPS = 150, 15.0
_POSTER_SIDE = 640
# Views whose pictures tell what the page loses, and the longer side of these.
_COMPARED_VIEWS, _COMPARED_SIDE = 3, 200


@dataclass(frozen=True)
class PageReport:
    """What became of a field.

    Attributes:
        megabytes: of the page.
        kept: the share of the field's cells that the page has.
        levels: of each feature.
        loss: PSNR in dB of the page's pictures against the field's own, at training cameras.
    """

    megabytes: float
    kept: float
    levels: int
    loss: float

    def __str__(self) -> str:
        text = f"{self.megabytes:.1f} MB, {self.loss:.1f} dB against the field's own pictures"
        if self.kept < 1:
            text += f"; {100 * (1 - self.kept):.0f} % of the cells, which show least, are left out"
        elif self.levels < LEVELS[0]:
            text += f"; colours have {self.levels} levels each"
        return text


def export_page(path: Path, model: Model, most_megabytes: float, bake_seconds: float) -> None:
    """Write a trained scene as one page, and print what became of it.

    Args:
        bake_seconds: to make a voxel field of another model.

    Raises UserError where it has nothing to show, or does not fit.
    """
    if path.is_dir():
        raise UserError(f"--web {path}: this is a folder")
    with replacing(path) as temporary:  # before all the work: whether it can be written at all
        temporary.touch()
        field = model.fields["nerf_coarse"]
        if not isinstance(field, VoxelField):
            baked = bake(model, bake_seconds)
            field = baked.field
            print(f"voxels of it: {baked.alike:.1f} dB against the pictures of {model.spec.name}")
        report = write_page(temporary, field, model.scene, model.exposure, most_megabytes)
    print(f"{path}: {report}")


def write_page(
    path: Path,
    field: VoxelField,
    scene: Scene,
    exposure: NearbyExposure | None,
    most_megabytes: float,
) -> PageReport:
    """Write a voxel field as one HTML file that renders it.

    Args:
        path: of the file.
        scene: with the training cameras.
        exposure: of views without a photo, where the training photos had their own.
        most_megabytes: of the file; what shows least is left out until it fits.

    Raises:
        UserError: nothing in the field is visible, or it does not fit.
    """
    photos = scene.cameras[scene.splits["train"]]
    device = str(field.density_table.device)
    packed = fit(field, photos.to(device), scene, most_megabytes)
    twin = field_of(field, packed.corners)
    quick = QuickRenderer(twin, scene.background)
    render = ImageRenderer(quick, quick.rays_per_chunk)
    flight = plan_path(
        scene,
        PathConfig(n_frames=_FLIGHT_FRAMES),
        lambda cameras: render_depth(render, scene, cameras.to(device)),
    )
    depth_range = film_depth_range(render, scene, flight.cameras, device)
    described = describe_scene(scene, exposure, flight, depth_range, _FLIGHT_FPS)
    meta = {**described, **describe_field(twin, packed.bricks, packed.codes)}
    meta["streams"] = [len(stream) for stream in packed.streams]
    poster = _poster(render, scene, flight, device)
    page = _page(meta, packed.content, poster).encode()
    path.write_bytes(page)
    loss = _loss(_renderer(field, scene), _renderer(twin, scene), scene, photos, device)
    return PageReport(len(page) / 1e6, packed.kept, packed.levels, loss)


def _renderer(field: VoxelField, scene: Scene) -> ImageRenderer:
    renderer = VoxelRenderer(field, scene.background)
    return ImageRenderer(renderer, renderer.rays_per_chunk)


def _smaller(cameras: Cameras, side: int) -> Cameras:
    """One camera with a picture of at most `side` pixels."""
    width, height = cameras.size[0].tolist()
    factor = min(1.0, side / max(width, height))
    return cameras.resized(max(2, round(width * factor)), max(2, round(height * factor)))


def _views(scene: Scene, cameras: Cameras) -> Scene:
    count = len(cameras)
    return replace(
        scene, cameras=cameras, frames=(None,) * count, splits={"path": list(range(count))}
    )


def _loss(
    trained: ImageRenderer, page: ImageRenderer, scene: Scene, photos: Cameras, device: str
) -> float:
    """PSNR in dB of the page's pictures against the trained field's, at some of the photos."""
    squared, count = 0.0, 0
    for index in range(0, len(photos), max(1, len(photos) // _COMPARED_VIEWS)):
        camera = _smaller(photos[[index]], _COMPARED_SIDE)
        view = _views(scene, camera)
        images = [render_view(r, None, view, camera.to(device), 0).image for r in (trained, page)]
        difference = images[0].astype(np.float64) - images[1]
        squared, count = squared + float((difference**2).sum()), count + difference.size
    return float(10 * np.log10(255**2 * count / max(squared, 1e-9 * count)))


def _poster(
    render: ImageRenderer, scene: Scene, flight: CameraPath, device: str
) -> UInt8[np.ndarray, "height width 3"]:
    """The flight's first frame."""
    film = film_scene(scene, flight, None)
    view = _views(scene, _smaller(film.cameras[[0]], _POSTER_SIDE))
    return render_view(render, None, view, view.cameras.to(device), 0).image


def _page(meta: dict[str, Any], content: bytes, poster: UInt8[np.ndarray, "height width 3"]) -> str:
    jpeg = io.BytesIO()
    Image.fromarray(poster).save(jpeg, "JPEG", quality=85)
    parts = [content[i : i + _PART] for i in range(0, len(content), _PART)]
    data = "\n".join(
        f'<script type="application/octet-stream" class="field">{_base64(part)}</script>'
        for part in parts
    )
    shaders = {name: _source(f"{name}.glsl") for name in ("march", "show")}
    template = jinja2.Environment(autoescape=True).from_string(_source("page.html"))
    return template.render(
        title=meta["title"],
        poster=f"data:image/jpeg;base64,{_base64(jpeg.getvalue())}",
        colour=_behind(meta),
        style=Markup(_source("page.css")),
        data=Markup(data),
        script=Markup("\n".join(_source(name) for name in _SCRIPTS)),
        meta=Markup(_script_json(meta)),
        shaders=Markup(_script_json(shaders)),
    )


def _behind(meta: dict[str, Any]) -> str:
    """The window's colour beside the picture: what is behind an object."""
    level = round(255 * meta["background"]) if meta["harmonics"] is None else 21
    return f"rgb({level}, {level}, {level})"


def _source(name: str) -> str:
    return (_VIEWER / name).read_text(encoding="utf-8")


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _script_json(value: Any) -> str:
    """JSON that may stand in a script element."""
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")
