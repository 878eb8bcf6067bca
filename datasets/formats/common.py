"""What all formats decide alike: which way up, which lens, what kind of scene, bounds, splits."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from datasets.config import SceneConfig
from datasets.files.numbers import positive
from datasets.lens import Lens
from datasets.photos import Frame, photo_size
from datasets.scene import Scene, scene_name
from datasets.sparse.model import observations_beside
from errors import UserError
from geometry.cameras import Cameras, make_cameras
from geometry.capture_kind import describe_capture
from geometry.ndc import NDC
from geometry.poses import (
    Poses,
    apply,
    average_pose,
    focus_point,
    world_up,
)
from geometry.rays import Bounds

Intrinsics = tuple[float, float, float, float]  # fx, fy, cx, cy in pixels

# As in the LLFF implementation, the nearest surface comes to lie at 4/3, a little beyond NDC's
# near plane z = -1.
NEAR_PLANE_SHARE = 0.75
# nerf_pl's bound: what lies this many times as far as the nearest is not worth the samples.
_FARTHEST = 8
# Focal lengths of lenses, in long sides of the photo: beyond a fisheye's and a telescope's.
_SHORTEST, _LONGEST = 0.01, 1000


def captured_scene(
    config: SceneConfig,
    poses: Poses,
    frames: list[Frame],
    intrinsics: list[Intrinsics],
    splits: dict[str, list[int]],
    depth_range: tuple[float, float] | None,
    nearest: float,
    near_plane_share: float = NEAR_PLANE_SHARE,
    average_frame: bool = False,
) -> Scene:
    """The scene of a real capture, in coordinates and at a scale that networks take well.

    A forward-facing capture is put into NDC, its average camera at the origin looking down -z.
    Another one is centred on where the cameras look, with their mean distance from there as the
    unit; its axes stay.

    Args:
        config: says how to decide where the cameras leave doubt.
        poses: of the frames, in the input's coordinates.
        splits: indices into the frames.
        depth_range: the nearest and farthest surface in the input's units, where it is known.
        nearest: distance of the nearest surface in the input's units; --near overrules it.
        near_plane_share: of that distance, where NDC's near plane is put.
        average_frame: use the average camera's frame and the near plane's unit in any case, as
            LLFF's loader does.
    """
    root = Path(config.root_dir)
    forward = faces_forward(poses, config, root.name)
    up: tuple[float, float, float] = (0.0, 1.0, 0.0)
    if forward or average_frame:
        units = near_plane_share * ((config.near or nearest) if forward else nearest)
        to_input = average_pose(poses) @ np.diag([units, units, units, 1.0])
        if not forward:
            # Few of these files have +z up, but prepare.py's have, to the degree.
            upwards = np.linalg.inv(to_input[:3, :3]) @ world_up(poses, agreement=0.99) * units
            x, y, z = upwards.tolist()
            up = (x, y, z)
    else:
        to_input, up = around_subject(poses)
        units = float(to_input[0, 0])
    cameras = make_cameras(
        apply(np.linalg.inv(to_input), poses), intrinsics, [frame.size for frame in frames]
    )
    if forward:
        bounds = forward_facing_bounds(cameras, config, units)
    elif depth_range is None:
        bounds = bounds_of((0.1, 4.0), config, units)
    else:
        near, far = depth_range
        bounds = bounds_of((near / units, min(_FARTHEST * near, far) / units), config, units)
    return Scene(
        name=scene_name(root),
        cameras=cameras,
        frames=tuple(frames),
        splits=splits,
        bounds=bounds,
        to_input=to_input,
        up=up,
        near_is_known=depth_range is not None,
        observations=partial(observations_beside, root, poses, to_input),
    ).resized(config.img_wh)


def faces_forward(poses: Poses, config: SceneConfig, name: str) -> bool:
    """Whether the capture is put into NDC: as --spheric_poses says, or as the cameras tell."""
    if config.spheric_poses is not None:
        return not config.spheric_poses
    capture = describe_capture(poses)
    print(f"{name}: {capture}")
    return capture.kind == "forward-facing"


def orient(photo: Path, declared: tuple[float, float]) -> tuple[tuple[int, int], bool]:
    """The photo's (width, height) as the file of poses means it, and whether EXIF turns it so.

    Some tools turn photos by their EXIF orientation before they solve poses, others do not: the
    declared sides tell.
    """
    stored, turned = photo_size(photo)
    same_way = (declared[0] > declared[1]) == (stored[0] > stored[1])
    upright = not same_way and turned != stored
    return (turned if upright else stored), upright


def fit_intrinsics(
    intrinsics: Intrinsics,
    declared: tuple[float, float],
    size: tuple[int, int],
    where: object = "intrinsics",
) -> Intrinsics:
    """Intrinsics of a photo of `size` from those that a file declares for another size.

    Each axis scales by itself: photos that were resized by odd factors stay right. Width and
    height swapped in the file (they are, in some) are swapped back.

    Args:
        where: the file and the photo, for the message.

    Raises UserError where no lens has such intrinsics.
    """
    fx, fy, cx, cy = intrinsics
    (width, height), (declared_width, declared_height) = size, declared
    for side in declared:
        positive(side, f"{where}: a side of the photo of {declared_width:g} x {declared_height:g}")
    wide, declared_wide = width / height, declared_width / declared_height
    if abs(np.log(wide * declared_wide)) < 0.5 * abs(np.log(wide / declared_wide)):
        fx, fy, cx, cy = fy, fx, cy, cx
        declared_width, declared_height = declared_height, declared_width
    x, y = width / declared_width, height / declared_height
    fitted = fx * x, fy * y, cx * x, cy * y
    side = max(size)
    if not all(_SHORTEST * side < focal < _LONGEST * side for focal in fitted[:2]):
        raise UserError(
            f"{where}: a focal length of {fx:.4g}, {fy:.4g} for {declared_width:g} x "
            f"{declared_height:g} pixels is that of no lens"
        )
    if not all(abs(centre) < _LONGEST * side for centre in fitted[2:]):
        raise UserError(f"{where}: a principal point at {cx:.4g}, {cy:.4g} is far off the photo")
    return fitted


def undistorting(
    intrinsics: Intrinsics,
    coefficients: list[float],
    size: tuple[int, int],
    fisheye: bool,
    where: object,
) -> tuple[Lens, Intrinsics]:
    """The lens, and the pinhole camera of the undistorted photo.

    Args:
        where: the file and the photo, for the message.
    """
    try:
        return Lens.pinhole_of(intrinsics, coefficients, size, fisheye)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def tell_sizes(
    name: str, declared: list[tuple[float, float]], sizes: list[tuple[int, int]]
) -> None:
    """Say so where photos are not of the size that the file of poses is for, nor a scaled copy.

    Undistorted copies are a little smaller, or of another shape; scaling their intrinsics from
    those of the originals is not right.
    """
    for (wide, high), size in sorted(set(zip(declared, sizes, strict=True))):
        short, long = sorted(size)
        declared_short, declared_long = sorted((wide, high))
        x, y = declared_short / short, declared_long / long
        rounding = 1.5 * max(x, 1) / short
        off = max(abs(declared_short - short), abs(declared_long - long))
        nearly_the_same = 0.9 < x < 1.1 and off > 1
        if abs(x / y - 1) > rounding or nearly_the_same:
            print(
                f"{name}: poses are for photos of {wide:g} x {high:g}, the photos are {size[0]} x "
                f"{size[1]}, which is no scaled copy; if they are undistorted or cropped copies, "
                "their own intrinsics belong in the file"
            )
            return


def bounds_of(
    default: tuple[float, float], config: SceneConfig, units: float, ndc: NDC | None = None
) -> Bounds:
    """Near and far in scene units; the configuration gives them in the input's units.

    Args:
        default: near and far in scene units.
        units: length of a scene unit in the input's units.
    """
    near = default[0] if config.near is None else config.near / units
    far = default[1] if config.far is None else config.far / units
    if not 0 <= near < far:
        raise UserError(
            f"{config.root_dir}: near {near * units:.4g} is not under far {far * units:.4g}; set "
            "--near and --far"
        )
    return Bounds(near, far, ndc)


def forward_facing_bounds(cameras: Cameras, config: SceneConfig, units: float) -> Bounds:
    """NDC from the plane z = -1 to infinity, or to --far."""
    fx, fy = cameras.intrinsics[:, :2].mean(0).tolist()
    width, height = cameras.size[0].tolist()
    far = 1.0
    if config.far is not None:
        far = 1.0 - units / config.far  # the NDC parameter of the plane z = -far
        if far <= 0:
            raise UserError(f"--far {config.far:.4g} is not beyond the near plane, {units:.4g}")
    return Bounds(0.0, far, NDC(2 * fx / width, 2 * fy / height))


def around_subject(poses: Poses) -> tuple[np.ndarray, tuple[float, float, float]]:
    """The frame of a scene with cameras around a subject, whose scale networks take well.

    The origin is where the cameras look, the unit their mean distance from there; the axes stay.

    Returns:
        the similarity (4, 4) to the input's coordinates, and up.
    """
    centre = focus_point(poses)
    scale = float(np.linalg.norm(poses[:, :, 3] - centre, axis=1).mean())
    if not scale > 0:
        raise UserError("all cameras stand at one point: a scene needs several places")
    to_input = np.diag([scale, scale, scale, 1.0])
    to_input[:3, 3] = centre
    x, y, z = world_up(poses).tolist()
    return to_input, (x, y, z)


def hold_out(count: int, config: SceneConfig) -> dict[str, list[int]]:
    """Every --holdout-th view is for testing, of the rest every --val_holdout-th for validation.

    Without --val_holdout validation looks at the test views; where there are none, at some of the
    training views.
    """
    views = list(range(count))
    test = views[:: config.holdout] if config.holdout else []
    rest = [i for i in views if i not in set(test)]
    val = rest[:: config.val_holdout] if config.val_holdout else []
    train = [i for i in rest if i not in set(val)]
    if not train:
        asked = f"--holdout {config.holdout}"
        if config.val_holdout:
            asked += f" --val_holdout {config.val_holdout}"
        photos = "1 photo" if count == 1 else f"{count} photos"
        raise UserError(f"{config.root_dir}: {photos} and {asked} leave none to train on")
    return {"train": train, "val": val or test or views[::8], "test": test}


def object_bounds(distances: np.ndarray) -> tuple[float, float]:
    """Near and far for an object that cameras look at, from the cameras' distances to it.

    The paper's synthetic scenes have cameras at 4 and are sampled from 2 to 6; others likewise.
    """
    if distances.min() >= 3 and distances.max() <= 5:
        return 2.0, 6.0
    return 0.5 * float(distances.min()), 1.5 * float(distances.max())
