"""The notebooks: how they get the project and the photos, what they keep, and that they run."""

from __future__ import annotations

import ast
import json
import shlex
import shutil
import subprocess
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import nbformat
import pytest
from IPython.display import HTML, Image, Video

from cli import parse
from colab import workplace
from colab.workplace import Workplace
from learn.image2d.options import FitOptions
from opt import EvalOptions, parse_training
from tests.conftest import ROOT
from tests.helpers.notebooks import (
    TINY_VOXELS,
    cell_with,
    execute,
    project_zip,
    read,
    settings_of,
)
from tests.scenes import write_blender

NAMES = sorted(path.stem for path in (ROOT / "colab").glob("*.ipynb"))


@pytest.fixture
def colab(monkeypatch, tmp_path: Path):
    """Colab's own package: files that the browser uploads, what it was given to download."""
    files = types.SimpleNamespace(chosen={}, downloaded=[], asked=0)

    def mount(path: str) -> None:
        (Path(path) / "MyDrive").mkdir(parents=True, exist_ok=True)

    def upload() -> dict[str, bytes]:
        files.asked += 1
        for name, content in files.chosen.items():
            Path(name).write_bytes(content)
        return files.chosen

    files.upload, files.download = upload, files.downloaded.append
    package: Any = types.ModuleType("google.colab")
    package.drive, package.files = types.SimpleNamespace(mount=mount), files
    monkeypatch.setitem(sys.modules, "google", types.ModuleType("google"))
    monkeypatch.setitem(sys.modules, "google.colab", package)
    monkeypatch.setattr(workplace, "IN_COLAB", True)
    monkeypatch.chdir(tmp_path)
    return files


@pytest.fixture
def shown(monkeypatch) -> list:
    objects: list = []
    monkeypatch.setattr(workplace, "display", objects.append)
    return objects


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    """A workplace whose commands write down how they were called."""
    project = tmp_path / "project"
    project.mkdir()
    script = "import pathlib, sys; pathlib.Path('called').open('a').write(' '.join(sys.argv[1:]))"
    for name in ("train.py", "fit_image.py"):
        (project / name).write_text(f"{script}\nprint('done', end='')\n")
    (project / "bad.py").write_text("import sys; print('bad.py: no photos'); sys.exit(2)\n")
    return Workplace(project, tmp_path / "keep", tmp_path / "local", tmp_path)


def get_project(project: str, use_drive: bool = True) -> Path:
    """Run the cell that gets the project, in this process; where the project is."""
    names: dict = {"PROJECT": project, "USE_DRIVE": use_drive}
    exec(cell_with(read("nerf"), "#@title Get the project").source, names)
    return names["CODE"]


def small_zip(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("nerf-main/train.py", "")
        archive.writestr("nerf-main/tests/training/train.py", "")
    return path


def test_the_project_is_uploaded_once(colab, tmp_path: Path):
    colab.chosen = {"nerf-main.zip": small_zip(tmp_path / "x.zip").read_bytes()}
    assert get_project("upload") == tmp_path / "nerf-work/project/nerf-main"
    shutil.rmtree(tmp_path / "nerf-work")  # a disconnect
    assert (get_project("upload") / "train.py").is_file()
    assert colab.asked == 1
    assert (tmp_path / "drive/MyDrive/nerf/project.zip").is_file()


def test_the_project_comes_from_a_zip_on_the_drive(colab, tmp_path: Path):
    (tmp_path / "drive/MyDrive").mkdir(parents=True)
    small_zip(tmp_path / "drive/MyDrive/mine.zip")
    assert (get_project("mine.zip") / "train.py").is_file()
    assert colab.asked == 0


def test_the_project_is_cloned(colab, tmp_path: Path):
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "train.py").write_text("")
    for words in ("init -q", "add .", "-c user.name=a -c user.email=a@b commit -q -m first"):
        subprocess.run(["git", *words.split()], cwd=repository, check=True)
    assert (get_project(repository.as_uri(), use_drive=False) / "train.py").is_file()
    shutil.rmtree(tmp_path / "nerf-work")
    with pytest.raises(SystemExit, match="cannot be cloned"):
        get_project((tmp_path / "nowhere").as_uri(), use_drive=False)


def test_what_is_not_the_project_is_told(colab, monkeypatch, tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("a.jpg", "")
    for name, told in (("photos.zip", "not the project"), ("no.zip", "is not there")):
        with pytest.raises(SystemExit, match=told):
            get_project(name, use_drive=False)
    monkeypatch.delitem(sys.modules, "google.colab")
    with pytest.raises(SystemExit, match="set PROJECT"):
        get_project("upload")


def test_a_notebook_in_the_project_takes_it(monkeypatch, tmp_path: Path):
    (tmp_path / "train.py").write_text("")
    (tmp_path / "colab").mkdir()
    monkeypatch.chdir(tmp_path / "colab")
    assert get_project("upload") == tmp_path


def test_commands_are_called_with_their_options(place: Workplace, capsys):
    place.train("pig", "--lr 0.1", root_dir=Path("a b"), img_wh=(4, 3), far=None, save_depth=True)
    expected = "train.py --exp_name pig --root_dir 'a b' --img_wh 4 3 --save_depth --lr 0.1"
    assert capsys.readouterr().out == f"$ python {expected}\ndone"
    with pytest.raises(SystemExit, match=r"bad.py ended with exit code 2"):
        place.run("bad.py")
    assert "no photos" in capsys.readouterr().out


def test_what_is_made_is_made_once(place: Workplace, tmp_path: Path, capsys):
    photo = tmp_path / "photo.png"
    photo.write_bytes(b"one")
    for iterations in (3, 3, 4):
        place.make("called", "fit_image.py", image=photo, iterations=iterations)
    photo.write_bytes(b"two")
    place.make("called", "fit_image.py", image=photo, iterations=4)
    out = capsys.readouterr().out
    assert (out.count("made already"), out.count("$ python")) == (1, 3)


def test_training_goes_on_until_it_is_done(place: Workplace):
    last = "ckpts/pig/last.ckpt"
    for steps in (5, 5, 8, 8):
        assert place.train("pig", max_steps=steps) == last
        (place.keep / last).parent.mkdir(parents=True, exist_ok=True)
        (place.keep / last).write_text("")
    called = (place.keep / "called").read_text()
    first = "--exp_name pig --max_steps 5"
    assert called == f"{first}--exp_name pig --max_steps 8 --ckpt_path {last}"


def test_photos_are_uploaded_once(colab, place: Workplace, tmp_path: Path):
    colab.chosen = {"a.jpg": b"a", "b.heic": b"b"}
    for _ in range(2):
        photos = place.find("upload", "pig")
        assert sorted(path.name for path in photos.iterdir()) == ["a.jpg", "b.heic"]
    assert colab.asked == 1
    (tmp_path / "films").mkdir()
    with zipfile.ZipFile(tmp_path / "films/walk.zip", "w") as archive:
        archive.writestr("walk.mp4", "film")
        archive.writestr("__MACOSX/._walk.mp4", "")
    colab.chosen = {"walk.zip": (tmp_path / "films/walk.zip").read_bytes()}
    assert place.find("upload", "walk") == place.local / "unpacked/walk/walk.mp4"
    assert place.find("films/walk.zip", "walk").is_file()
    with pytest.raises(SystemExit, match="nowhere is not there"):
        place.find("nowhere", "pig")


def test_other_photos_under_the_same_name_are_noticed(place: Workplace, tmp_path: Path):
    photos, scene = tmp_path / "photos", place.local / "scenes/pig"
    photos.mkdir()
    for name in "abcde":
        (photos / f"{name}.jpg").write_bytes(name.encode())
    place.check_same("pig", photos, SIZE=1600)
    (photos / "e.jpg").unlink()
    place.check_same("pig", photos, SIZE=1600)  # nothing is made of them yet
    for path in ("images/a.jpg", "poses_bounds.npy", ".prepare/steps.json", "database.db"):
        (scene / path).parent.mkdir(parents=True, exist_ok=True)
        (scene / path).write_text("")
    assert not place.restore_scene(scene)
    place.keep_scene(scene)
    place.check_same("pig", photos, SIZE=1600)
    (photos / "a.jpg").write_bytes(b"another")
    (photos / "b.jpg").rename(photos / "z.jpg")
    told = r"1 new \(z.jpg\); 1 gone \(b.jpg\); 1 changed \(a.jpg\); SIZE was 1600 and is 800"
    with pytest.raises(SystemExit, match=told) as stop:
        place.check_same("pig", photos, SIZE=800)
    assert "another NAME" in str(stop.value)
    assert "scenes/pig.zip" in str(stop.value)
    # A disconnect: the scene comes from the Drive, without what only made it.
    shutil.rmtree(scene)
    assert place.restore_scene(scene)
    assert sorted(path.name for path in scene.iterdir()) == ["images", "poses_bounds.npy"]


def test_results_are_shown_and_downloaded(colab, place: Workplace, shown: list):
    folder = place.keep / "results/pig/path"
    (folder / "depth").mkdir(parents=True)
    for name in ("pig.mp4", "pig.gif", "path.json", "path.png", "000.png", "depth/000.png"):
        (folder / name).write_bytes(b"film")
    (folder / "report.html").write_text('<p title="a">&amp;</p>')
    place.show_films("results/pig/path")
    place.show_page("results/pig/path/report.html")
    place.show_images("results/pig/path/pig.gif", "nothing.png")
    assert [type(x) for x in shown] == [Video, HTML, Image]
    assert 'src="data:video/mp4;base64' in shown[0]._repr_html_()
    assert "&lt;p title=&quot;a&quot;&gt;&amp;amp;" in shown[1].data
    place.download("pig", "results/pig")
    (archive,) = colab.downloaded
    names = {Path(name).name for name in zipfile.ZipFile(archive).namelist()}
    assert names == {"pig.mp4", "pig.gif", "path.json", "path.png", "report.html"}


@pytest.mark.parametrize("in_colab", [True, False])
def test_the_gpu_is_told(monkeypatch, capsys, tmp_path: Path, in_colab: bool):
    monkeypatch.setattr(workplace, "IN_COLAB", in_colab)
    monkeypatch.setenv("PATH", str(tmp_path))
    workplace.tell_gpu()
    assert ("Runtime > Change runtime type" in capsys.readouterr().out) == in_colab
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho Tesla T4, 15360 MiB\n")
    program.chmod(0o755)
    workplace.tell_gpu()
    assert "GPU: Tesla T4, 15360 MiB" in capsys.readouterr().out


def test_a_posed_scene_is_trained_and_shown(tmp_path: Path):
    scene = write_blender(tmp_path / "ball", size=16)
    shutil.make_archive(str(scene), "zip", tmp_path, "ball")
    shutil.rmtree(scene)
    ran = execute(
        "nerf",
        tmp_path,
        PROJECT=project_zip(tmp_path / "nerf.zip").name,
        SCENE="ball.zip",
        NAME="mine",
        TRAIN_FLAGS=TINY_VOXELS.format(5),
        EVAL_FLAGS="--n_frames 3 --accelerator cpu",
    )
    assert "mean over 3 views" in ran.text
    assert ran.html.count("<video controls") == 2
    assert "<iframe srcdoc" in ran.html
    metrics = json.loads((tmp_path / "nerf/results/mine/test/metrics.json").read_text())
    assert metrics["ckpt_path"] == "ckpts/mine/last.ckpt"


@pytest.mark.parametrize("name", NAMES)
def test_notebooks_are_whole(name: str):
    notebook = read(name)
    nbformat.validate(notebook)
    codes = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs for cell in codes)
    for cell in codes:  # all that is computed is in the project's commands
        assert "torch" not in cell.source
        assert "pycolmap" not in cell.source
    for words in ("#@title Get the project", "#@title Install"):  # the same in all
        assert cell_with(notebook, words).source == cell_with(read("nerf"), words).source


@pytest.mark.parametrize("name", NAMES)
def test_settings_are_form_fields(name: str):
    source = settings_of(read(name)).source
    lines = [line for line in source.splitlines() if line and not line.startswith("#@")]
    assert len(lines) == len(ast.parse(source).body)
    assert all("  #@param" in line for line in lines)


@pytest.mark.parametrize("name", NAMES)
def test_options_that_the_notebooks_set_exist(name: str):
    names: dict = {}
    exec(settings_of(read(name)).source, names)
    names.update(scene="x", place=types.SimpleNamespace(train=lambda *a, **k: k))
    train = cell_with(read(name), "place.train").source.splitlines()[0]
    exec(train, names)
    words = [f"--{key}={value}" for key, value in names["options"].items()]
    options = parse_training([*words, *shlex.split(names["TRAIN_FLAGS"])])
    if "MINUTES" in names:
        assert options.model == "voxels"
        assert options.max_time == 60 * names["MINUTES"]
        parse(EvalOptions, ["--ckpt_path", "x", *shlex.split(names["EVAL_FLAGS"])])
    else:
        assert options.preset == "cs180"
        parse(FitOptions, ["--image", "x", "--sweep", *names["SWEEPS"]])
