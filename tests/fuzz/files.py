"""Small valid files of each kind, and damage that knows their layout.

Photos have a dozen pixels a side: what is read is what counts, not what it shows.
"""

from __future__ import annotations

import io
import json
import random
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Callable
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.fuzz.mutate import mutate_array, mutate_bytes
from tests.scenes import (
    ball_image,
    circle_poses,
    forward_poses,
    opaque,
    write_blender,
    write_llff,
    write_npz,
)

SIZE = (12, 9)


def slurp(make: Callable[[Path], object]) -> dict[str, bytes]:
    """The files that `make` writes into a folder, by their names."""
    root = Path(tempfile.mkdtemp(prefix="fuzz"))
    try:
        make(root)
        return {
            path.relative_to(root).as_posix(): path.read_bytes()
            for path in sorted(root.rglob("*"))
            if path.is_file()
        }
    finally:
        shutil.rmtree(root)


def blender(root: Path) -> None:
    write_blender(root, size=8, train=4, val=1, test=2)


def llff(root: Path) -> None:
    write_llff(root, circle_poses(5), SIZE, 12.0)


def llff_forward(root: Path) -> None:
    write_llff(root, forward_poses(5), SIZE, 12.0)


def npz(root: Path) -> None:
    write_npz(root / "scene.npz", size=8, count=4)


def transforms(root: Path) -> None:
    """Distortion, masks and lists of splits."""
    frames = _frames(root, circle_poses(5))
    for i, frame in enumerate(frames):
        _half_mask(root / f"mask{i}.png")
        frame["mask_path"] = f"mask{i}.png"
    names = [frame["file_path"] for frame in frames]
    lens = {"w": 12, "h": 9, "fl_x": 12.0, "fl_y": 12.0, "cx": 6.0, "cy": 4.5}
    distortion = {"k1": 0.05, "k2": -0.01, "p1": 0.001, "p2": 0.0, "k3": 0.0}
    splits = {"train_filenames": names[:3], "val_filenames": names[3:], "test_filenames": names[4:]}
    _write(root / "transforms.json", {**lens, **distortion, **splits, "frames": frames})


def transforms_fisheye(root: Path) -> None:
    fisheye = {"camera_model": "OPENCV_FISHEYE", "k1": 0.02, "k2": 0.0, "k3": 0.0, "k4": 0.0}
    lens = {"camera_angle_x": 0.9, "camera_angle_y": 0.7}
    _write(root / "transforms.json", {**lens, **fisheye, "frames": _frames(root, forward_poses(5))})


def transforms_per_frame(root: Path) -> None:
    frames = _frames(root, circle_poses(5))
    for i, frame in enumerate(frames):
        if i % 2:
            frame["K"] = [[12.0, 0.0, 6.0], [0.0, 12.0, 4.5], [0.0, 0.0, 1.0]]
        else:
            frame |= {"fl_x": 24.0, "w": 24, "h": 18, "cx": 12.0, "cy": 9.0}
    _write(root / "transforms.json", {"w": 12, "h": 9, "frames": frames})


def cut_out(root: Path) -> None:
    """An object that its masks cut out."""
    frames = _frames(root, circle_poses(4))
    for i, frame in enumerate(frames):
        mask = np.zeros((9, 12), np.uint8)
        mask[3:6, 2 + i : 7 + i] = 255
        Image.fromarray(mask).save(root / f"mask{i}.png")
        frame["mask_path"] = f"mask{i}.png"
    _write(root / "transforms.json", {"camera_angle_x": 0.9, "frames": frames})


def photos(root: Path) -> None:
    """Photos of all formats, turned and transparent ones among them."""
    endings = (".png", ".jpg", ".webp", ".tif", ".bmp", ".png", ".jpg", ".tif")
    frames = _frames(root, circle_poses(8))
    for i, (frame, ending) in enumerate(zip(frames, endings, strict=True)):
        path = root / frame["file_path"]
        image = Image.open(path).convert("RGBA" if i in (5, 2) else "RGB")
        path.unlink()
        exif = Image.Exif()
        exif[0x0112] = 3
        options: dict[str, Any] = {"exif": exif} if ending == ".jpg" else {}
        if i == 7:
            image = Image.fromarray(np.arange(108, dtype=np.uint16).reshape(9, 12) * 600)
        image.save(path.with_suffix(ending), **options)
        frame["file_path"] = f"images/{path.stem}{ending}"
    _write(root / "transforms.json", {"camera_angle_x": 0.9, "frames": frames})


def colmap_binary(root: Path, size: tuple[int, int] = SIZE) -> None:
    """A model of a dozen points, with two cameras."""
    from datasets.sparse.binary import read_binary
    from tests.capture_scene import orbit, points_seen

    folder = root / "sparse" / "0"
    folder.mkdir(parents=True)
    (root / "images").mkdir()
    model = points_seen(orbit(5), cameras=2, step=3)
    for number, camera in enumerate(model.cameras.values()):
        camera.rescale(*size)
        if number:
            camera.model = "OPENCV"
            camera.params = [*camera.params[[0, 0, 1, 2]], 0.01, 0.0, 0.0, 0.0]
    model.write(folder)
    records = read_binary(folder)
    records.points = records.points[::16]
    for image in records.images:
        image.points = image.points[::16]
        Image.new("RGB", size).save(root / "images" / image.name)
    records.checked(folder).write(folder)


def colmap_text(root: Path, size: tuple[int, int] = SIZE) -> None:
    import pycolmap

    colmap_binary(root, size)
    folder = root / "sparse" / "0"
    pycolmap.Reconstruction(folder).write_text(folder)
    for path in folder.glob("*.bin"):
        path.unlink()


def path_nerfstudio(root: Path) -> None:
    frames = [
        {"camera_to_world": np.vstack([pose, [0, 0, 0, 1]]).reshape(-1).tolist(), "fov": 50.0}
        for pose in circle_poses(3)
    ]
    _write(root / "path.json", {"render_width": 32, "render_height": 24, "camera_path": frames})


def path_transforms(root: Path) -> None:
    frames = [
        {"transform_matrix": np.vstack([pose, [0, 0, 0, 1]]).tolist()} for pose in circle_poses(3)
    ]
    _write(root / "path.json", {"fl_x": 30.0, "w": 40, "frames": frames})


def events(root: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(root)) as writer:
        for step in range(4):
            writer.add_scalar("val/psnr", 20.0 + step, step)
            writer.add_scalar("epoch", step, step)
        writer.add_image("val/GT_pred_depth", np.zeros((3, 3, 9), np.uint8), 3)
    path = next(root.glob("events.*"))
    path.rename(root / "events.out.tfevents.1.host")


def run(root: Path) -> None:
    """The logs and results of a run, as report.py finds them."""
    from datasets import load_scene
    from datasets.config import SceneConfig

    folder = root / "logs" / "exp" / "version_0"
    folder.mkdir(parents=True)
    events(folder)
    write_blender(root / "ball", size=8, train=3, val=1, test=1)
    _write(folder / "scene.json", load_scene(SceneConfig(root_dir=str(root / "ball"))).to_dict())
    shutil.rmtree(root / "ball")
    record = {
        **{"command": "python train.py", "options": {"model": "nerf", "dataset_name": "blender"}},
        **{"started": "2026-01-01", "first_step": 0, "versions": {"torch": "2"}, "device": "cpu"},
        **{"devices": 1, "scene": "ball", "views": {"train": 3}, "parameters": 2},
        **{"state": "finished", "step": 4, "epoch": 3, "seconds": 1.5},
    }
    _write(folder / "run.json", record)
    results = root / "results" / "test"
    (results / "examples").mkdir(parents=True)
    row = {"name": "r_0", "psnr": 20.0, "ssim": 0.5}
    metrics = {"mean": row, "views": [row], "protocol": "p", "ckpt_path": "ckpts/exp/last.ckpt"}
    _write(results / "metrics.json", metrics)
    for name in ("000.png", "examples/000_photo.png"):
        Image.new("RGB", SIZE).save(results / name)


def captured_run(root: Path) -> None:
    """A run of a prepared capture: its report and pictures lie beside the logs."""
    run(root)
    capture = root / "logs" / "exp" / "version_0" / "capture"
    capture.mkdir()
    report = {"placed": 2, "photos": [{}, {}], "capture": "arc", "advice": ["Take more."]}
    _write(capture / "capture_report.json", report)
    for name in ("contact_sheet.png", "cameras.png"):
        Image.new("RGB", (500, 90)).save(capture / name)


def steps(root: Path) -> None:
    from capture.steps import Steps
    from tests.fuzz.readers import STEPS

    made = Steps(root)
    for name, (inputs, result) in STEPS.items():
        made.run(name, inputs, partial(copy, result))


def mutate_npy(content: bytes, rng: random.Random) -> bytes:
    """Bytes, values, or a header that says something else."""
    kind = rng.randrange(4)
    if kind == 0:
        return mutate_bytes(content, rng)
    array = np.load(io.BytesIO(content))
    if kind < 3:
        return _npy(mutate_array(array, rng))
    descr = rng.choice(("<f8", ">f8", "|O", "<U9", "V8", "<f8,<i4", "3f8", "<m8", "x", "f" * 90))
    shape = rng.choice(
        (
            "(5, 17)",
            "(5,)",
            "(10**12,)",
            "(-1, 17)",
            "(5, 17, 0)",
            "5",
            "(((",
            "()",
            "(2**40, 2**40)",
        )
    )
    order = rng.choice(("False", "True", "1", "None"))
    more = rng.choice(("", "", ", 'x': 1", "\n", "'"))
    header = f"{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}{more}}}\n".encode()
    version = rng.choice((1, 1, 1, 2, 3, 9))
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + array.tobytes()


def mutate_npz(content: bytes, rng: random.Random) -> bytes:
    """Bytes anywhere, in the archive's directory, or of arrays within a sound archive."""
    kind = rng.randrange(5)
    if kind == 0:
        return mutate_bytes(content, rng)
    if kind == 1:  # compression, encryption and sizes in the headers of its entries
        data = bytearray(content)
        starts = [i for i in range(len(data) - 4) if data[i : i + 4] in (b"PK\1\2", b"PK\3\4")]
        place = rng.choice(starts) + rng.randrange(4, 40)
        data[place] = rng.choice((0, 1, 8, 9, 12, 14, 93, 95, 99, 255, rng.randrange(256)))
        return bytes(data)
    arrays = dict(np.load(io.BytesIO(content)))
    files = {name: _npy(array) for name, array in arrays.items()}
    for _ in range(rng.choice((1, 1, 2))):
        name = rng.choice(sorted(files))
        if kind == 2:
            files[name] = mutate_npy(_npy(arrays[name]), rng)
        elif rng.random() < 0.2:
            del files[name]
        else:
            files[name] = _npy(mutate_array(arrays[name], rng))
        if not files:
            break
    result = io.BytesIO()
    method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))
    with zipfile.ZipFile(result, "w", method) as archive:
        for name, stored in files.items():
            archive.writestr(f"{name}.npy", stored)
    return result.getvalue()


def mutate_mask(content: bytes, rng: random.Random) -> bytes:
    """Bytes, or a sound mask of another size, mode or emptiness."""
    if rng.random() < 0.5:
        return mutate_bytes(content, rng)
    size = rng.choice(((12, 9), (9, 12), (1, 1), (24, 18), (100, 1)))
    mode = rng.choice(("1", "L", "LA", "P", "RGB", "RGBA", "I;16"))
    result = io.BytesIO()
    color = rng.choice((0, 1)) if mode in ("1", "L", "P") else 0
    Image.new(mode, size, color).save(result, "PNG")
    return result.getvalue()


def _npy(array: np.ndarray) -> bytes:
    result = io.BytesIO()
    np.save(result, array, allow_pickle=True)
    return result.getvalue()


def _frames(root: Path, poses: np.ndarray) -> list[dict[str, Any]]:
    (root / "images").mkdir()
    frames: list[dict[str, Any]] = []
    for i, pose in enumerate(poses):
        Image.fromarray(opaque(ball_image(pose, SIZE, 12.0))).save(root / f"images/{i}.png")
        matrix = np.vstack([pose, [0, 0, 0, 1]]).tolist()
        frames.append({"file_path": f"images/{i}.png", "transform_matrix": matrix})
    return frames


def _half_mask(path: Path) -> None:
    mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    mask[4:] = 255
    Image.fromarray(mask).save(path)


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content))
