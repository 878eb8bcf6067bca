"""What the notebooks share: where files lie, running the commands, showing what they made.

Nothing here needs Colab, nor a package that Jupyter does not bring.
"""

from __future__ import annotations

import codecs
import hashlib
import html
import json
import os
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

from IPython.display import HTML, FileLink, Image, Video, display

IN_COLAB = "google.colab" in sys.modules
UPLOAD = "upload"  # in place of a path: files are chosen in the browser

_FINGERPRINT_BYTES = 1 << 16  # of each file; photos differ in their first ones
_NAMED = 3  # changed files that a message names
# Of a scene, what can be made again and is not worth a place on the Drive.
_SCRATCH = (".prepare", "database.db")
_FILM = 'controls loop autoplay muted playsinline style="max-width: 100%; max-height: 480px"'


class Workplace:
    """Where a notebook works.

    Args:
        project: folder of the project.
        keep: folder of what outlives the machine (on the Drive): checkpoints, logs, results,
            reports, scenes as zips. The commands run in it.
        local: folder on the machine's own disk, of what can be made again.
        drive: where the paths of the settings begin.
    """

    def __init__(self, project: Path, keep: Path, local: Path, drive: Path) -> None:
        self.project, self.keep, self.local, self.drive = project, keep, local, drive
        for folder in (keep, local):
            folder.mkdir(parents=True, exist_ok=True)

    # Running the commands.

    def run(self, script: str, extra: str = "", **flags: Any) -> None:
        """Run a command of the project, and show what it prints.

        Stop it with the cell's stop button: training saves its checkpoint before it ends.

        Args:
            script: such as train.py.
            extra: further options, as they are typed.
            flags: options and their values; None leaves one out, True is a switch.
        """
        words = _words(script, extra, flags)
        print("$ python", shlex.join(words), flush=True)
        process = subprocess.Popen(
            [sys.executable, "-u", str(self.project / script), *words[1:]],
            cwd=self.keep,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TQDM_MININTERVAL": "2", "PYTHONIOENCODING": "utf-8"},
        )
        code = _show_output(process)
        if code == 130:
            raise SystemExit(f"{script} was stopped; run this cell again to go on")
        if code != 0:
            raise SystemExit(f"{script} ended with exit code {code}: see the lines above")

    def make(
        self, result: str, script: str, extra: str = "", resume: str | None = None, **flags: Any
    ) -> None:
        """Run a command, unless the same one has made the file `result` already.

        Args:
            result: what the command has made when it has ended well.
            resume: the option that takes a `result` which is not finished, to go on with it.
            script, extra, flags: as `run` takes them.
        """
        record = self.keep / "made.json"
        made = json.loads(record.read_text()) if record.exists() else {}
        command = shlex.join(_words(script, extra, flags))
        inputs = [fingerprint(v) for v in flags.values() if isinstance(v, Path) and v.is_file()]
        command += "".join(f" # {files}" for files in inputs)
        exists = (self.keep / result).exists()
        if exists and made.get(result) == command:
            print(f"made already: {result}")
            return
        if exists and resume:
            flags[resume] = result
        self.run(script, extra, **flags)
        _write_json(record, {**made, result: command})

    def train(self, name: str, extra: str = "", **flags: Any) -> str:
        """Train the run `name`, or go on with it; returns its checkpoint."""
        last = f"ckpts/{name}/last.ckpt"
        self.make(last, "train.py", extra, resume="ckpt_path", exp_name=name, **flags)
        return last

    # Photos and scenes.

    def find(self, source: str, name: str) -> Path:
        """What the settings name: a folder, a file, or the content of a zip.

        Args:
            source: a path, from the Drive's top; "upload" asks for files, once for each `name`.
            name: of the folder that uploaded and unpacked files come to.
        """
        path = self.drive / source
        if source == UPLOAD:
            path = self.keep / "uploads" / name
            if not path.exists():
                _upload(path)
            path = _only(path)
        if not path.exists():
            raise SystemExit(f'{path} is not there; name what is, or write "{UPLOAD}"')
        return self._unpack(path, name) if path.suffix.lower() == ".zip" else path

    def check_same(self, name: str, source: Path | None, **settings: Any) -> None:
        """Stop where the scene or run `name` was made from other files, or with other settings.

        Args:
            name: of the scene and the run.
            source: the files; None where there are none of the user's.
            settings: what else decides what is made.
        """
        record = self.keep / "scenes" / f"{name}.json"
        now = {"files": fingerprint(source) if source else {}, "settings": settings}
        parts = [self.keep / part for part in (f"scenes/{name}.zip", f"ckpts/{name}")]
        made = [str(path.relative_to(self.keep)) for path in parts if path.exists()]
        if made and record.exists():
            changes = _changes(json.loads(record.read_text()), now)
            if changes:
                raise SystemExit(
                    f'"{name}" was made from something else: {"; ".join(changes)}. '
                    f"Choose another NAME; or take the change back; or, to begin anew under this "
                    f"name, delete {' and '.join(made)} in {self.keep}"
                )
            return
        _write_json(record, now)

    def restore_scene(self, scene: Path) -> bool:
        """Whether the scene is finished; it comes from its zip where it is not on this disk."""
        kept = self.keep / "scenes" / f"{scene.name}.zip"
        if not kept.exists():
            return False
        if not (scene / "poses_bounds.npy").exists():
            print(f"{scene.name} is prepared already: {kept}")
            shutil.unpack_archive(kept, scene)
        return True

    def keep_scene(self, scene: Path) -> None:
        """Write the scene as a zip to the Drive, without what was needed only to make it."""
        files = [
            path
            for path in sorted(scene.rglob("*"))
            if path.is_file() and path.relative_to(scene).parts[0] not in _SCRATCH
        ]
        kept = self.keep / "scenes" / f"{scene.name}.zip"
        _write_zip(kept, {str(path.relative_to(scene)): path for path in files})
        print(f"kept as {kept}")

    def _unpack(self, archive: Path, name: str) -> Path:
        """The content of a zip, unpacked to the local disk once."""
        folder = self.local / "unpacked" / name
        stamp = folder.with_name(f"{name}.txt")
        version = f"{archive} {archive.stat().st_size} {archive.stat().st_mtime_ns}"
        if not stamp.exists() or stamp.read_text() != version:
            shutil.rmtree(folder, ignore_errors=True)
            try:
                shutil.unpack_archive(archive, folder)
            except (shutil.ReadError, zipfile.BadZipFile) as error:
                raise SystemExit(f"{archive} is damaged; copy it again ({error})") from error
            stamp.write_text(version)
        return _only(folder)

    # What was made.

    def show_images(self, *paths: str | Path, width: int | None = None) -> None:
        """Show pictures (PNG, GIF), those that are there."""
        for path in paths:
            if (self.keep / path).exists():
                print(path)
                display(Image(filename=str(self.keep / path), width=width))

    def show_films(self, folder: str) -> None:
        """Show the MP4s of a folder."""
        for path in sorted((self.keep / folder).glob("*.mp4")):
            print(path.relative_to(self.keep))
            display(Video(str(path), embed=True, mimetype="video/mp4", html_attributes=_FILM))

    def show_page(self, path: str) -> None:
        """Show an HTML file in a frame of its own."""
        text = html.escape((self.keep / path).read_text(encoding="utf-8"))
        frame = f'<iframe srcdoc="{text}" width="100%" height="800" frameborder="0"></iframe>'
        display(HTML(f"<div>{frame}</div>"))

    def show_scores(self, path: str) -> None:
        """Print the means of a metrics.json."""
        metrics = json.loads((self.keep / path).read_text())
        means = ", ".join(f"{name} {value:.4g}" for name, value in metrics["mean"].items())
        print(f"held-out views: {means}\n{metrics['protocol']}")

    def newest(self, pattern: str) -> str:
        """The newest file that matches, such as logs/pig/version_*/strip.png."""
        paths = sorted(self.keep.glob(pattern), key=lambda path: path.stat().st_mtime)
        return str(paths[-1].relative_to(self.keep)) if paths else pattern

    def download(self, name: str, *folders: str) -> None:
        """Download what is in the folders as NAME.zip; single frames of films are left out."""
        paths = [path for folder in folders for path in sorted((self.keep / folder).rglob("*"))]
        files = {
            str(path.relative_to(self.keep)): path
            for path in paths
            if path.is_file() and not (path.suffix == ".png" and path.stem.isdecimal())
        }
        archive = self.local / f"{name}.zip"
        _write_zip(archive, files)
        print(f"{archive}: {len(files)} files, {archive.stat().st_size / 1e6:.1f} MB")
        if IN_COLAB:
            from google.colab import files as browser

            browser.download(str(archive))
        else:
            display(FileLink(os.path.relpath(archive)))


def tell_gpu() -> None:
    """Say which GPU there is, and what to do where there is none."""
    command = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        found = ""
    if found:
        print("GPU:", found.replace("\n", "; "))
    elif IN_COLAB:
        print("No GPU. Choose one: Runtime > Change runtime type, then run all cells again.")
    else:
        print("No NVIDIA GPU: all of this works without one, and takes longer.")


def fingerprint(source: Path) -> dict[str, str]:
    """A short name for the content of each file, by its path in the folder."""
    paths = [source] if source.is_file() else sorted(source.rglob("*"))
    found = {}
    for path in paths:
        relative = path.relative_to(source.parent if source.is_file() else source)
        if path.is_file() and not any(part.startswith(".") for part in relative.parts):
            with path.open("rb") as file:
                start = hashlib.sha256(file.read(_FINGERPRINT_BYTES)).hexdigest()[:16]
            found[relative.as_posix()] = f"{path.stat().st_size} {start}"
    return found


def _changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """In words, what is not as it was."""
    old, new = before["files"], now["files"]
    changes = []
    for names, word in (
        (sorted(new.keys() - old.keys()), "new"),
        (sorted(old.keys() - new.keys()), "gone"),
        (sorted(name for name in old.keys() & new.keys() if old[name] != new[name]), "changed"),
    ):
        if names:
            more = ", ..." if len(names) > _NAMED else ""
            changes.append(f"{len(names)} {word} ({', '.join(names[:_NAMED])}{more})")
    for name, value in now["settings"].items():
        if before["settings"].get(name) != value:
            changes.append(f"{name} was {before['settings'].get(name)!r} and is {value!r}")
    return changes


def _words(script: str, extra: str, flags: dict[str, Any]) -> list[str]:
    """The command line of a script."""
    words = [script]
    for name, value in flags.items():
        if value is None:
            continue
        words.append(f"--{name}")
        if value is not True:
            words += map(str, value if isinstance(value, (list, tuple)) else [value])
    return [*words, *shlex.split(extra)]


def _show_output(process: subprocess.Popen[bytes]) -> int:
    """Print what a process prints, progress bars in place, until it ends; its exit code."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    interrupted = False
    while True:
        try:
            # Not line by line: a progress bar ends in no line break.
            chunk = process.stdout.read1(4096)  # type: ignore[union-attr]
            print(decoder.decode(chunk), end="", flush=True)
            if not chunk:
                return process.wait()
        except KeyboardInterrupt:
            # The process has been interrupted too, and is saving; a second time ends it.
            if interrupted:
                process.terminate()
            interrupted = True


def _upload(folder: Path) -> None:
    """Have files chosen in the browser, and keep them in a new folder."""
    if not IN_COLAB:
        raise SystemExit(f'"{UPLOAD}" works in Colab alone; name a folder, a zip or a file')
    from google.colab import files

    print("Choose photos (several at once), one zip, or one video.")
    names = list(files.upload())
    if not names:
        raise SystemExit("nothing was uploaded; run this cell again")
    folder.mkdir(parents=True)
    for name in names:
        shutil.move(name, folder / Path(name).name)


def _only(folder: Path) -> Path:
    """What a folder holds where that is one thing alone, and in that likewise; else the folder."""
    while folder.is_dir():
        inside = [p for p in folder.iterdir() if not p.name.startswith((".", "__MACOSX"))]
        if len(inside) != 1:
            break
        folder = inside[0]
    return folder


def _write_json(path: Path, values: Any) -> None:
    """Write a file under a temporary name, then rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(json.dumps(values, indent=1))
    temporary.replace(path)


def _write_zip(path: Path, files: dict[str, Path]) -> None:
    """Write a zip under a temporary name, then rename it. Photos and films are stored as they are.

    Args:
        files: by their names in the zip.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}")
    with zipfile.ZipFile(temporary, "w") as archive:
        for name, file in files.items():
            archive.write(file, name)
    temporary.replace(path)
