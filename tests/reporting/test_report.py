"""The report: of whole, half-finished and several runs; and as a browser shows it."""

from __future__ import annotations

import html
import json
import re
import shutil
import sys
from pathlib import Path

import pytest

import eval as evaluation
import report
import train
from errors import run_command
from models.parallel import cores
from reporting.events import Log, Series, read_log
from reporting.judgement import judge
from reporting.points import kept_checkpoints
from reporting.rendered import render_checkpoints
from reporting.run import Run, load_run
from tests.scenes import write_blender

TINY = (
    "--dataset_name blender --root_dir ball --batch_size 500 --N_samples 8 --N_importance 0 "
    "--netwidth 16 --netdepth 2 --netskip 1 --accelerator cpu --val_rays 0"
)


def command(patch: pytest.MonkeyPatch, module, words: str) -> object:
    patch.setattr(sys, "argv", [f"{module.__name__}.py", *words.split()])
    try:
        run_command(module.main)
    except SystemExit as stop:
        return stop.code
    return 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Runs "whole" (evaluated) and "half" (not), and their report."""
    root = tmp_path_factory.mktemp("report")
    write_blender(root / "ball", size=16)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        assert (
            command(patch, train, f"--exp_name whole --num_epochs 3 --keep_epochs 1 3 {TINY}") == 0
        )
        assert command(patch, train, f"--exp_name half --max_steps 3 {TINY}") == 0
        record = json.loads(Path("logs/half/version_0/run.json").read_text())
        record["state"] = "training"  # as if it had been killed
        Path("logs/half/version_0/run.json").write_text(json.dumps(record))
        assert command(patch, evaluation, "--ckpt_path ckpts/whole/last.ckpt --n_frames 4") == 0
        assert command(patch, report, "whole half --epochs 1 2 3 9") == 0
        assert command(patch, report, "whole --checkpoints 1 3 --views 2") == 0
    return root


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return (folder / "reports/whole_half/report.html").read_text()


def test_page_needs_nothing_else(page: str):
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert sources
    assert all(source.startswith("data:") for source in sources)
    assert "url(" not in page


def test_page_answers_what_how_good_and_how_again(folder: Path, page: str):
    metrics = json.loads((folder / "results/blender/ball/test/metrics.json").read_text())
    assert f"{metrics['mean']['psnr']:.2f} dB" in page
    assert metrics["protocol"] in page
    assert "python train.py --exp_name whole" in page
    assert "python eval.py --ckpt_path ckpts/whole/last.ckpt" in page
    assert "torch" in page
    assert "--netwidth" in page


def test_half_a_run_is_said_to_be_one(folder: Path, page: str):
    assert "training has not finished" in page
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        half = load_run("half", Path("logs"), None)
        # The evaluation in the scene's folder is the other run's.
        assert half.metrics is None
        assert load_run("whole", Path("logs"), None).metrics is not None


def test_epochs_are_tabled_with_their_last_validation(folder: Path, page: str):
    log = read_log([folder / "logs/whole/version_0"])
    for step, value in zip(*vars(log.series("val/psnr")).values(), strict=True):
        if step > 5:
            assert f'<td class="number">{value:.2f}</td>' in page
    assert (folder / "reports/whole_half/figures/curves_psnr.svg").read_text().count("epoch") >= 3


def test_the_page_names_the_threads_and_the_whole_validation(folder: Path):
    """Not those of the caller alone, nor the last validation of some of the views."""
    page = (folder / "reports/whole_half/report.html").read_text()
    record = json.loads((folder / "logs/whole/version_0/run.json").read_text())
    assert record["device"] == f"cpu, {cores()} threads"
    assert record["device"] in page
    validation = record["validation"]["psnr"]
    assert f"{validation:.2f} dB</div>PSNR, validation at the end" in page


def test_figures_are_files_too(folder: Path):
    names = {path.name for path in (folder / "reports/whole_half/figures").iterdir()}
    assert {"curves_psnr.svg", "curves_loss.png", "strip_whole.png", "cameras_half.png"} <= names
    assert any(name.startswith("whole_0_error") for name in names)


def test_a_resumed_run_is_one_run(folder: Path):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        words = "--exp_name parts --max_steps {} --val_every_steps 5 " + TINY
        assert command(patch, train, words.format(10)) == 0
        resume = words.format(20) + " --ckpt_path ckpts/parts/last.ckpt"
        assert command(patch, train, resume) == 0
        run = load_run("parts", Path("logs"), None)
    steps = run.log.series("val/psnr").steps
    assert steps == sorted(set(steps))
    assert {4, 9} <= set(steps)
    assert len(steps) >= 4
    assert max(steps) >= 19


def test_logs_alone_make_a_report(folder: Path, monkeypatch):
    monkeypatch.chdir(folder)
    bare = folder / "logs/bare/version_0"
    bare.mkdir(parents=True)
    for path in (folder / "logs/whole/version_0").glob("events*"):
        shutil.copy(path, bare)
    assert command(monkeypatch, report, "--exp_name bare") == 0
    page = (folder / "reports/bare/report.html").read_text()
    assert "no record of its options" in page
    assert (folder / "reports/bare/figures/strip_bare.png").exists()


def test_a_page_among_the_results_is_shown_where_it_is_small(folder: Path, monkeypatch):
    results = folder / "own"
    results.mkdir()
    (results / "ball.html").write_text("<p title='it'>look & turn</p>")
    monkeypatch.chdir(folder)
    words = "whole --results_dir own --out_dir reports/own"
    assert command(monkeypatch, report, words) == 0
    shown = (folder / "reports/own/report.html").read_text()
    frame = re.search(r'<iframe srcdoc="([^"]*)"[^>]*>', shown)
    assert frame is not None
    assert html.unescape(frame[1]) == "<p title='it'>look & turn</p>"
    assert 'sandbox="allow-scripts"' in frame[0]
    (results / "ball.html").write_text("x" * 7_000_000)
    assert command(monkeypatch, report, words) == 0
    shown = (folder / "reports/own/report.html").read_text()
    assert "<iframe" not in shown
    assert (results / "ball.html").resolve().as_uri() in shown


def test_kept_checkpoints_are_rendered_and_tabled(folder: Path):
    """The last one's mean is that of eval.py, whose views they are."""
    page = (folder / "reports/whole/report.html").read_text()
    metrics = json.loads((folder / "results/blender/ball/test/metrics.json").read_text())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        kept = kept_checkpoints(load_run("whole", Path("logs"), None), (1, 3), Path("ckpts/whole"))
        first, last = render_checkpoints(kept, 9)
    assert (first.label, last.label) == ("epoch 1", "epoch 3")
    assert first.step * 3 == last.step
    assert last.mean_psnr == pytest.approx(metrics["mean"]["psnr"], abs=1e-3)
    rows = {row["name"]: row["psnr"] for row in metrics["views"]}
    assert last.psnr == pytest.approx([rows[name] for name in last.names], abs=1e-3)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        fewer = [render_checkpoints(kept, count)[0].names for count in range(1, len(rows))]
    assert [len(set(names)) for names in fewer] == list(range(1, len(rows)))
    assert "after epoch 1, epoch 3" in page
    assert {"compared_0.png", "compared_1.png"} <= {
        path.name for path in (folder / "reports/whole/figures").iterdir()
    }


def test_runs_of_one_scene_are_named_by_what_differs(folder: Path, page: str):
    assert "whole (num_epochs 3, max_steps default)" in page
    assert "half (num_epochs 16, max_steps 3)" in page
    assert "Side by side" in page


def test_training_photos_are_listed_the_worst_first(folder: Path, page: str):
    photos = json.loads((folder / "logs/whole/version_0/run.json").read_text())["training_photos"]
    assert len(photos) == 8
    assert [row["psnr"] for row in photos] == sorted(row["psnr"] for row in photos)
    assert photos[0]["name"] in page


def test_causes_of_bad_photos_are_in_the_judgement():
    photos = [{"name": str(number), "psnr": 25.0} for number in range(4)]
    bad = [{"name": "bad", "psnr": 15.0, "cause": "blurred"}, {"name": "odd", "psnr": 16.0}]
    photos[2]["cause"] = "blurred"
    run = Run("made", Path(), Log({}, {}), {"training_photos": bad + photos}, *[None] * 4)
    told = " ".join(judge(run))
    assert "bad (15.0 dB: blurred)" in told
    assert "Blurred beside the other photos: 2." in told
    assert "odd (16.0 dB: look whether it is blurred, " in told


@pytest.mark.parametrize(
    ("train_psnr", "held_out", "told"),
    [
        ([15, 20, 22, 24, 26], [15, 20, 19, 18, 17], "Training rises while held-out"),
        ([15, 16, 17, 18, 19], [15, 16, 17, 18, 19], "a longer training"),
        ([15, 20, 20, 20, 20], [15, 19, 19, 19, 19], "hardly changed"),
        ([15, 20, 25, 30, 30], [15, 19, 19, 19, 19], "better than held-out ones"),
    ],
)
def test_judgement_follows_the_curves(train_psnr, held_out, told: str):
    steps = [100, 200, 300, 400, 500]
    log = Log({"train/psnr": Series(steps, train_psnr), "val/psnr": Series(steps, held_out)})
    run = Run("made", Path(), log, {}, None, None, None, None)
    assert told in " ".join(judge(run))


def test_series_at_a_step():
    series = Series([5, 10], [1.0, 2.0])
    assert [series.at(step) for step in (4, 5, 9, 10, 99)] == [None, 1.0, 1.0, 2.0, 2.0]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--exp_name nothing", "no such run; there are"),
        ("--exp_name whole --results_dir nowhere", "no such folder"),
        ("--exp_name whole half --results_dir ball", "one folder for each"),
        ("whole --checkpoints 1 2", "train with --keep_epochs 1 2"),
        ("whole half --checkpoints 1", "of one run"),
        ("", "--exp_name"),
    ],
)
def test_mistakes_are_told_in_one_line(folder: Path, words: str, told: str, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert command(monkeypatch, report, words) == 2
    errors = capsys.readouterr().err
    assert told in errors
    assert len(errors.strip().splitlines()) == 1


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next((found for name in names if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("no browser is installed (apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        # Without its sandbox, which root in a container cannot have.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.mark.parametrize("width", [1200, 360])
def test_browser_shows_the_report(browser, folder: Path, width: int):
    said: list[str] = []
    tab = browser.new_page(viewport={"width": width, "height": 800})
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda request: said.append(request.url) if "://" in request.url else None)
    address = (folder / "reports/whole_half/report.html").as_uri()
    tab.goto(address)
    broken = tab.evaluate("[...document.images].filter(i => !i.naturalWidth).length")
    # Nothing sticks out to the side: what is wide scrolls within itself.
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate("parseFloat(getComputedStyle(document.body).fontSize)") >= 15

    slider = tab.locator(".compare input").first
    clip = "getComputedStyle(document.querySelector('.compare img.over')).clipPath"
    before = tab.evaluate(clip)
    slider.focus()
    slider.press("Home")
    assert tab.evaluate(clip) != before
    assert "100%" in tab.evaluate(clip)

    table = tab.locator("table.sortable", has_text="SSIM").last
    column = "[...document.querySelectorAll('table.sortable')].at(-1).tBodies[0].rows"
    values = f"[...{column}].map(row => Number(row.cells[1].textContent))"
    table.locator("button", has_text="PSNR").click()
    assert tab.evaluate(values) == sorted(tab.evaluate(values))
    table.locator("button", has_text="PSNR").click()
    assert tab.evaluate(values) == sorted(tab.evaluate(values), reverse=True)
    assert (broken, said) == (0, [address])
    tab.close()


def test_markup_in_names_from_files_is_shown_not_run(tmp_path):
    """Names, options, protocols and advice of a run that somebody else has sent."""
    from reporting.contents import describe
    from reporting.points import usual_points
    from reporting.run import load_run
    from tests.fuzz.files import captured_run
    from writing.html.page import write_page

    captured_run(tmp_path)
    script = "<script>alert(1)</script>"
    logs = tmp_path / "logs/exp/version_0"
    for path in (logs / "run.json", logs / "capture/capture_report.json"):
        path.write_text(path.read_text().replace('"cpu"', f'"{script}"').replace("Take", script))
    record = json.loads((logs / "run.json").read_text())
    record["training_photos"] = [{"name": script, "psnr": 9.0, "cause": f"as told: {script}"}]
    (logs / "run.json").write_text(json.dumps(record))
    metrics = tmp_path / "results/test/metrics.json"
    metrics.write_text(metrics.read_text().replace('"r_0"', f'"{script}"'))
    run = load_run("exp", tmp_path / "logs", tmp_path / "results")
    contents = describe(run, tmp_path / "figures", usual_points(run, (1,)), lambda model: {})
    write_page(
        tmp_path / "report.html",
        "report.html",
        **{"title": script, "written": "", "runs": [contents], "curves": []},
        **{"epochs": (1,), "command": script, "labels": {}, "rendered": [], "rows": []},
        several=[],
    )
    page = (tmp_path / "report.html").read_text()
    assert script not in page
    assert page.count("&lt;script&gt;alert(1)") >= 5
    assert "as told: &lt;script&gt;alert(1)" in page
