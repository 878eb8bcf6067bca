"""Contact sheets and slide shows of single views."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from errors import UserError
from tests.writing.films import read_bt709
from writing.layout import letterbox
from writing.sheet import best_grid, write_contact_sheet
from writing.slides import write_slide_show


def flat(height: int, width: int, colour: tuple[int, int, int]) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def test_letterbox_shows_all():
    box = letterbox(flat(40, 20, (9, 9, 9)), 60, 90, (255, 255, 255))
    assert box.shape == (60, 90, 3)
    assert (box[:, 30:60] == 9).all()
    assert (box[:, :30] == 255).all()
    assert (box[:, 60:] == 255).all()


@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_a_sheet_shows_each_view_beside_its_photo(tmp_path, ending):
    red, blue = flat(160, 90, (220, 0, 0)), flat(160, 90, (0, 0, 220))
    path = tmp_path / f"sheet{ending}"
    pairs = [(red, blue)] * 5
    captions = [f"IMG_{i}.jpg  27.3 dB" for i in range(5)]
    assert write_contact_sheet(path, pairs, captions, heading="rendered | photo") == 5
    sheet = np.array(Image.open(path)).astype(int)
    assert max(sheet.shape) <= 2400
    reds = (sheet[..., 0] > 180) & (sheet[..., 1] < 40)
    blues = (sheet[..., 2] > 180) & (sheet[..., 1] < 40)
    assert reds.sum() == pytest.approx(5 * 160 * 90, rel=0.01)  # at their own size
    assert blues.sum() == pytest.approx(5 * 160 * 90, rel=0.01)
    rows, columns = np.nonzero(reds)
    below = sheet[rows[0] + 160 : rows[0] + 180, columns[0] : columns[0] + 180]
    assert (below.min(-1) < 90).sum() > 100  # ink of the caption


def test_large_photos_are_shrunk_and_all_of_them_seen(tmp_path):
    pairs = [(flat(1600, 900, (0, 90, 0)), flat(1600, 900, (0, 90, 0)))] * 7
    assert write_contact_sheet(tmp_path / "a.png", pairs, ["x"] * 7, max_side=1200) == 7
    with Image.open(tmp_path / "a.png") as sheet:
        assert 900 < max(sheet.size) <= 1200


def test_where_all_would_be_tiny_some_are_shown(tmp_path):
    pairs = [(flat(200, 200, (0, 0, 0)),) * 2] * 200
    shown = write_contact_sheet(tmp_path / "a.png", pairs, ["x"] * 200, max_side=1200)
    assert 6 <= shown <= 20
    assert max(best_grid(shown, (200, 200), 2, 1200).box) >= 180


def test_views_of_several_sizes(tmp_path):
    groups = [(flat(60, 90, (200, 0, 0)),), (flat(90, 60, (200, 0, 0)), flat(30, 30, (200, 0, 0)))]
    assert write_contact_sheet(tmp_path / "a.png", groups, ["a" * 400 + " 31 dB", ""]) == 2
    with pytest.raises(UserError, match="no images"):
        write_contact_sheet(tmp_path / "b.png", [], [])
    with pytest.raises(ValueError, match="captions"):
        write_contact_sheet(tmp_path / "b.png", groups, ["a"])


def test_slides_stand_fade_and_loop(tmp_path):
    slides = [flat(48, 64, (200, 30, 30)), flat(48, 64, (30, 30, 200)), flat(64, 48, (30, 200, 30))]
    write_slide_show(tmp_path / "a.mp4", slides, 2.0, 10)
    read = read_bt709(tmp_path / "a.mp4", 48, 64).astype(int)
    assert len(read) == 60
    for i in range(14):  # 0.6 s of 2 are the fade
        assert np.abs(read[i, 20:28, 28:36] - (200, 30, 30)).max() <= 4
    reds = read[13:21, 24, 32, 0]
    assert (np.diff(reds) < 1).all()  # red goes, without a jump
    assert np.diff(reds).min() > -60
    assert np.abs(read[50, 20:28, 28:36] - (30, 200, 30)).max() <= 4
    assert read[50, :, :10].max() <= 6  # beside it, black: the third is higher than wide
    assert abs(read[59, 24, 32, 0] - 200) < 30  # almost back at the first


def test_one_slide(tmp_path):
    write_slide_show(tmp_path / "a.mp4", [flat(48, 64, (200, 30, 30))], 1.0, 10)
    assert len(read_bt709(tmp_path / "a.mp4", 48, 64)) == 10
    with pytest.raises(UserError, match="no images"):
        write_slide_show(tmp_path / "a.mp4", [])
