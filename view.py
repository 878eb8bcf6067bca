"""Look around in a trained scene: python view.py --ckpt_path ckpts/pig/last.ckpt"""

from __future__ import annotations

if __name__ == "__main__":
    import interrupts  # noqa: F401 (before the imports that take time)

import signal
import threading
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from api import load
from cli import parse
from errors import UserError, require, run_command


@dataclass(frozen=True)
class ViewOptions:
    """Show a trained scene in the browser."""

    ckpt_path: str
    """checkpoint of the trained scene"""
    host: str = "127.0.0.1"
    """address to listen at; 0.0.0.0 lets other machines look"""
    port: int = 8080
    """port to listen at; the next free one where it is taken"""
    size: int = 768
    """pixels of a still picture's longer side; the page changes it"""
    root_dir: str | None = None
    """folder of the scene, for its photos, where it has moved"""
    accelerator: str = "auto"
    """auto, cpu, gpu, cuda or mps"""

    def __post_init__(self) -> None:
        require(0 < self.port < 65536, f"--port must be from 1 to 65535, not {self.port}")
        require(128 <= self.size <= 2048, f"--size must be from 128 to 2048, not {self.size}")


def main() -> None:
    options = parse(ViewOptions)
    try:
        from viewing.page import Page
        from viewing.shown import TrainedScene, find_photos
    except ModuleNotFoundError as error:
        if error.name != "viser":
            raise
        raise UserError("view.py needs viser: pip install viser") from error
    model = load(options.ckpt_path, options.accelerator)
    shown = TrainedScene(model, Path(options.ckpt_path), find_photos(model, options.root_dir))
    page = Page(shown, options.host, options.port, options.size)
    page.loop.start()
    end = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        end.set()

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    print(f"http://{options.host}:{page.port} shows the scene; Ctrl-C ends", flush=True)
    try:
        end.wait()
    finally:
        page.stop()


if __name__ == "__main__":
    run_command(main)
