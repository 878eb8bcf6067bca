"""What is checked of every scene, whichever its format."""

from __future__ import annotations

from datasets.config import SceneConfig
from datasets.scene import Scene
from errors import UserError


def check_finite(scene: Scene, config: SceneConfig) -> None:
    """Raise UserError where cameras, bounds or region are not numbers to render with."""
    if not scene.is_finite():
        raise UserError(
            f"{config.root_dir or scene.name}: its cameras give no scene of a finite size (they "
            "stand at one point, or their places or lenses are absurd); solve the poses again"
        )


def tell_shared_photos(scene: Scene) -> None:
    """Say so where photos that are tested on are trained on too: then figures measure memory."""
    trained = {_photo(scene, i) for i in scene.splits["train"]}
    tested = [_photo(scene, i) for i in scene.splits.get("test", [])]
    shared = sum(photo in trained for photo in tested)
    if shared:
        print(
            f"{scene.name}: {shared} of {len(tested)} test photos are trained on too; what is "
            "measured on them says little of new views"
        )


def _photo(scene: Scene, index: int) -> object:
    frame = scene.frames[index]
    return index if frame is None or frame.path is None else frame.path.resolve()
