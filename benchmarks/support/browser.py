"""A page of export.py --web in headless Chromium, which renders WebGL in software."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from errors import UserError
from geometry.cameras import Cameras
from geometry.poses import apply

CHROMIUM = Path("/usr/bin/chromium")
_ARGS = [
    *("--headless", "--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader"),
    *("--enable-unsafe-swiftshader", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
_READY_MS = 180_000
_RENDER = """async (camera) => {
  const bytes = await window.nerf.render(camera);
  let text = "";
  for (let i = 0; i < bytes.length; i += 4096) {
    text += String.fromCharCode(...bytes.subarray(i, i + 4096));
  }
  return btoa(text);
}"""


@contextlib.contextmanager
def open_browser() -> Iterator[Any]:
    """Chromium, as long as the block lasts. Raises UserError where it or playwright is missing."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise UserError("playwright is missing: pip install -r requirements-dev.txt") from error
    if not CHROMIUM.exists():
        raise UserError(f"{CHROMIUM} is missing: install Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=_ARGS)
        try:
            yield browser
        finally:
            browser.close()


class OpenPage:
    """A page that was opened from disk.

    Attributes:
        page: playwright's.
        said: what its console showed, and what it asked the network for.
    """

    def __init__(self, browser: Any, path: Path, size: tuple[int, int] = (390, 300)) -> None:
        self.said: list[str] = []
        said = self.said
        self.page = browser.new_page(viewport={"width": size[0], "height": size[1]})
        self.page.on("console", lambda message: said.append(message.text))
        self.page.on("pageerror", lambda error: said.append(str(error)))
        self.page.on("request", lambda r: said.append(r.url) if r.url.startswith("http") else None)
        self.page.goto(path.resolve().as_uri(), timeout=_READY_MS)

    def wait(self) -> OpenPage:
        """Until the scene is there."""
        self.page.wait_for_selector("body[data-ready]", timeout=_READY_MS)
        return self

    def rest(self) -> OpenPage:
        """Draw nothing but what is asked for."""
        self.page.evaluate("window.nerf.paused = true")
        return self

    def render(
        self, camera: Cameras, to_input: np.ndarray | None, **more: Any
    ) -> UInt8[np.ndarray, "height width 4"]:
        """What one camera sees.

        Args:
            camera: a set of one, in scene units.
            to_input: of the scene.
            more: further arguments of window.nerf.render.
        """
        pose = apply(np.eye(4) if to_input is None else to_input, camera.c2w.double().numpy())[0]
        fx, fy, cx, cy = camera.intrinsics[0].tolist()
        width, height = camera.size[0].tolist()
        asked = {"fx": fx, "fy": fy, "cx": cx, "cy": cy, "width": width, "height": height}
        answer = self.page.evaluate(_RENDER, asked | {"c2w": pose.tolist()} | more)
        return np.frombuffer(base64.b64decode(answer), np.uint8).reshape(height, width, 4)

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = self.page.evaluate("window.nerf.state()")
        return state

    def close(self) -> None:
        self.page.close()
