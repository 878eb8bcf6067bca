"""The page, opened from disk in a browser that renders in software."""

from __future__ import annotations

import base64
import os
import re
from pathlib import Path

import numpy as np
import pytest

from errors import UserError
from evaluation.views import render_view
from exporting.web.fitting import fit
from exporting.web.page import write_page
from geometry.poses import apply
from models.appearance.exposure import Appearance
from models.appearance.nearby import NearbyExposure
from models.rendering.image import ImageRenderer
from models.voxels.renderer import VoxelRenderer
from tests.exporting.web.fields import ball_field, scene_of

# Software WebGL takes minutes on two cores: `BROWSER=1 make test` runs the page in a browser.
pytestmark = pytest.mark.skipif(
    not os.environ.get("BROWSER"), reason="the page in a browser: only with BROWSER=1"
)

CHROMIUM = Path("/usr/bin/chromium")
ARGS = [
    *("--headless", "--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader"),
    *("--enable-unsafe-swiftshader", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
SIZES = {"box": (390, 844), "contracted": (1280, 720), "ndc": (1280, 720)}
RENDER = """async (camera) => {
  const bytes = await window.nerf.render(camera);
  let text = "";
  for (let i = 0; i < bytes.length; i += 4096) {
    text += String.fromCharCode(...bytes.subarray(i, i + 4096));
  }
  return btoa(text);
}"""


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGS)
        yield browser
        browser.close()


def open_page(browser, path: Path, size: tuple[int, int], said: list[str]):
    page = browser.new_page(viewport={"width": size[0], "height": size[1]})
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url) if "http" in request.url else None)
    page.goto(path.as_uri())
    page.wait_for_selector("body[data-ready]", timeout=30_000)
    return page


@pytest.mark.parametrize("kind", ["box", "contracted", "ndc"])
def test_a_page_shows_what_the_field_renders(kind, browser, tmp_path):
    field, scene = ball_field(kind), scene_of(kind)
    photos = scene.cameras[scene.splits["train"]]
    appearance = Appearance(len(photos))
    appearance.log_gain.data.uniform_(-0.2, 0.2)
    appearance.offset.data.uniform_(-0.1, 0.1)
    exposure = NearbyExposure(photos, appearance) if kind == "contracted" else None
    path = tmp_path / "ball of mine.html"
    report = write_page(path, field, scene, exposure, 25.0)
    assert report.loss > 40
    assert report.megabytes == pytest.approx(path.stat().st_size / 1e6)

    said: list[str] = []
    page = open_page(browser, path, SIZES[kind], said)
    page.evaluate("window.nerf.paused = true")
    render = VoxelRenderer(field, scene.background)
    images = ImageRenderer(render, render.rays_per_chunk)
    assert scene.to_input is not None
    poses = apply(scene.to_input, scene.cameras.c2w.double().numpy())
    for index in scene.splits["test"]:
        expected = render_view(images, exposure, scene, scene.cameras, index).image
        assert expected.std() > 20
        fx, fy, cx, cy = scene.cameras.intrinsics[index].tolist()
        width, height = scene.cameras.size[index].tolist()
        camera = {"fx": fx, "fy": fy, "cx": cx, "cy": cy, "width": width, "height": height}
        answer = page.evaluate(RENDER, camera | {"c2w": poses[index].tolist()})
        rgba = np.frombuffer(base64.b64decode(answer), np.uint8).reshape(height, width, 4)
        squared = (rgba[..., :3].astype(float) - expected) ** 2
        assert 10 * np.log10(255**2 / squared.mean()) > 40
        assert (rgba[..., 3] == 255).all()
    assert page.title() == scene.name
    assert said == []
    page.close()


def test_a_touch_ends_the_flight_and_limits_hold(browser, tmp_path):
    path = tmp_path / "ball.html"
    write_page(path, ball_field("box"), scene_of("box"), None, 25.0)
    said: list[str] = []
    page = open_page(browser, path, (390, 500), said)

    def state():
        return page.evaluate("window.nerf.state()")

    first = state()
    page.wait_for_function(f"window.nerf.state().pose[3] !== {first['pose'][3]}", timeout=10_000)
    assert state()["flying"]
    page.mouse.move(200, 200)
    page.mouse.down()
    page.mouse.up()
    assert not state()["flying"]
    for key in ("-", "ArrowUp"):  # away and up, longer than the limits allow
        page.keyboard.down(key)
        page.wait_for_timeout(1500)
        page.keyboard.up(key)
    held = np.array(state()["pose"]).reshape(3, 4)
    limits = page.evaluate("window.nerf.meta.limits")
    assert np.linalg.norm(held[:, 3]) < limits["distance"][1] + 0.5
    assert np.degrees(np.arcsin(held[2, 2])) < 21 + np.degrees(limits["angle"]) + 1
    page.keyboard.press("l")
    page.keyboard.down("-")
    page.wait_for_timeout(1000)
    page.keyboard.up("-")
    free = np.array(state()["pose"]).reshape(3, 4)
    assert np.linalg.norm(free[:, 3]) > 1.2 * np.linalg.norm(held[:, 3])
    page.wait_for_function("window.nerf.state().refined", timeout=30_000)
    page.keyboard.press("z")
    assert state()["mode"] == 1
    page.keyboard.press("r")
    again = state()
    assert again["limited"]
    assert again["mode"] == 0
    assert np.allclose(again["pose"], page.evaluate("window.nerf.meta.flight.poses[0]"), atol=0.1)
    names = page.locator("button").evaluate_all("all => all.map((b) => b.innerText)")
    assert names == ["Flight", "Depth", "Free", "Reset", "Full screen"]
    assert said == []
    page.close()


def test_without_webgl2_a_page_says_so(browser, tmp_path):
    path = tmp_path / "ball.html"
    write_page(path, ball_field("box"), scene_of("box"), None, 25.0)
    page = browser.new_page()
    page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    page.goto(path.as_uri())
    page.wait_for_selector("#message:not([hidden])")
    assert "WebGL2" in page.locator("#message").inner_text()
    page.close()


def test_a_page_is_as_small_as_asked():
    field, scene = ball_field("box", 60.0), scene_of("box")
    whole = fit(field, scene.cameras, scene, 25.0)
    assert whole.kept == 1
    megabytes = 0.2 + len(whole.content) / 1e6
    small = fit(field, scene.cameras, scene, 0.2 + 4 / 3 * 0.4 * len(whole.content) / 1e6)
    assert small.kept < 1
    assert small.levels == 64
    assert len(small.content) <= 0.41 * len(whole.content)
    with pytest.raises(UserError, match=re.escape("--web_mb 0.1 is too little")):
        fit(field, scene.cameras, scene, 0.1)
    assert megabytes > 0.2


def test_a_field_with_nothing_in_it_is_refused():
    field, scene = ball_field("box"), scene_of("box")
    field.density_table.data.fill_(-20)
    with pytest.raises(UserError, match="there is nothing in a ball"):
        fit(field, scene.cameras, scene, 25.0)
