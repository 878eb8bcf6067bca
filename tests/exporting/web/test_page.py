"""The page, opened from disk in a browser that renders in software."""

from __future__ import annotations

import os

import numpy as np
import pytest

from benchmarks.support.browser import CHROMIUM, OpenPage, open_browser
from evaluation.metrics import psnr
from evaluation.views import render_view
from exporting.web.page import write_page
from models.appearance.exposure import Appearance
from models.appearance.nearby import NearbyExposure
from models.rendering.image import ImageRenderer
from models.voxels.renderer import VoxelRenderer
from tests.exporting.web.fields import ball_field, scene_of

# Software WebGL takes minutes on two cores: `BROWSER=1 make test` runs the page in a browser.
pytestmark = pytest.mark.skipif(
    not os.environ.get("BROWSER"), reason="the page in a browser: only with BROWSER=1"
)

SIZES = {"box": (390, 844), "contracted": (1280, 720), "ndc": (1280, 720)}


@pytest.fixture(scope="module")
def browser():
    pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}")
    with open_browser() as browser:
        yield browser


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

    page = OpenPage(browser, path, SIZES[kind]).wait().rest()
    render = VoxelRenderer(field, scene.background)
    images = ImageRenderer(render, render.rays_per_chunk)
    for index in scene.splits["test"]:
        expected = render_view(images, exposure, scene, scene.cameras, index).image
        assert expected.std() > 20
        shown = page.render(scene.cameras[index], scene.to_input)
        assert psnr(shown[..., :3], expected) > 40
        assert (shown[..., 3] == 255).all()
    assert page.page.title() == scene.name
    assert page.said == []
    page.close()


def test_a_touch_ends_the_flight_and_limits_hold(browser, tmp_path):
    path = tmp_path / "ball.html"
    write_page(path, ball_field("box"), scene_of("box"), None, 25.0)
    opened = OpenPage(browser, path, (390, 500)).wait()
    page, state = opened.page, opened.state
    first = state()
    page.wait_for_function(f"window.nerf.state().pose[3] !== {first['pose'][3]}", timeout=60_000)
    assert state()["flying"]
    page.mouse.move(200, 200)
    page.mouse.down()
    page.mouse.up()
    assert not state()["flying"]
    page.keyboard.press(" ")
    assert state()["flying"]
    page.keyboard.press("ArrowLeft")
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
    beyond = 1.2 * np.linalg.norm(held[:, 3])
    distance = "Math.hypot(...[3, 7, 11].map((i) => window.nerf.state().pose[i]))"
    page.wait_for_function(f"{distance} > {beyond}", timeout=60_000)
    page.keyboard.up("-")
    page.wait_for_function("window.nerf.state().refined", timeout=120_000)
    page.keyboard.press("z")
    assert state()["mode"] == 1
    page.keyboard.press("r")
    again = state()
    assert again["limited"]
    assert again["mode"] == 0
    assert np.allclose(again["pose"], page.evaluate("window.nerf.meta.flight.poses[0]"), atol=0.1)
    names = page.locator("button").evaluate_all("all => all.map((b) => b.innerText)")
    assert names == ["Flight", "Depth", "Free", "Reset", "Full screen"]
    assert opened.said == []
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
