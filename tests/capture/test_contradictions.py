"""Wrong poses are told from right ones by the matches that they contradict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pycolmap
import pytest

from capture.checks.contradictions import Consistency, judge, read_matches
from capture.solve.plans import BY_ORDER, agreeing, plans, with_pairs
from capture.solve.solve import Solution, choose
from datasets import load_scene
from datasets.config import SceneConfig
from tests.capture_scene import (
    BOX,
    FLOOR,
    orbit,
    pattern,
    pose_errors,
    run,
    take_photos,
    world_poses,
)
from tests.matched_scenes import (
    COUNT,
    around,
    folded,
    matched,
    model_of,
    name_of,
    write_database,
)


def pair(i: int, j: int) -> frozenset[str]:
    return frozenset((name_of(i), name_of(j)))


@pytest.mark.parametrize("walk", [True, False])
def test_right_poses_contradict_nothing(walk):
    found = judge(model_of(around()), matched(alike=False, walk=walk))
    assert (found.against, found.strangers, found.torn, found.weak) == (0, 0, (), ())
    assert found.strong == 4 * COUNT
    assert len(found.photos) == COUNT
    assert not found.doubtful
    assert not found.look_alike
    assert found.points > 50


@pytest.mark.parametrize("walk", [True, False])
def test_photos_in_wrong_places_are_named(walk):
    poses = around()
    poses[[5, 13]] = poses[[13, 5]]
    found = judge(model_of(poses), matched(alike=False, walk=walk))
    assert found.doubtful
    assert {name_of(5), name_of(13)} <= set(found.torn)
    assert found.against == 16
    if walk:
        assert set(found.torn) == {name_of(5), name_of(13)}
    else:  # which of two is wrong is not known; those that neither is matched with are right
        assert not {name_of(0), name_of(18), name_of(20)} & set(found.torn)


@pytest.mark.parametrize("walk", [True, False])
def test_a_folded_solve_is_doubtful(walk):
    """Every photo agrees with its own points; those beside the fold contradict their neighbours."""
    found = judge(folded(), matched(walk=walk))
    assert found.doubtful
    assert found.contradicted
    assert name_of(6) not in found.torn
    if walk:
        assert {name_of(11), name_of(12)} <= set(found.torn)


def test_sides_that_look_alike_do_not_make_right_poses_doubtful():
    """Far more pairs contradict them than the folded solve: neighbours of the walk decide."""
    right, wrong = judge(model_of(around()), matched()), judge(folded(), matched())
    assert right.against > wrong.against
    assert not right.doubtful
    assert right.look_alike


def test_photos_with_the_same_view_share_something():
    """Matches that are missing tell as well: the second half is put among the first's photos."""
    found = judge(folded(), matched(alike=False))
    assert found.strangers >= COUNT // 2
    assert found.doubtful
    # Pairs that were never compared say nothing.
    halves = range(COUNT // 2), range(COUNT // 2, COUNT)
    tried = frozenset(pair(i, j) for half in halves for i in half for j in half if i < j)
    assert judge(folded(), replace(matched(alike=False), tried=tried)).strangers == 0


def test_pieces_of_a_walk_are_doubtful():
    """Like sides, each by itself, leave out the photos between them. A lost end is not that."""
    model = model_of(around())
    ends = [image for image in model.images.values() if image.name < name_of(4)]
    for image in ends:
        model.deregister_frame(image.frame_id)
    found = judge(model, matched())
    assert (len(found.photos), found.breaks, found.doubtful) == (COUNT - 4, 1, False)
    between = {name_of(i) for i in (9, 10, 15)}
    for image in [image for image in model.images.values() if image.name in between]:
        model.deregister_frame(image.frame_id)
    found = judge(model, matched())
    assert found.breaks == 5
    assert found.doubtful
    assert not judge(model, matched(walk=False)).breaks


def test_photos_that_observe_next_to_nothing():
    model = model_of(around())
    for number in list(model.points3D)[10:]:
        model.delete_point3D(number)
    found = judge(model, matched(alike=False))
    assert len(found.weak) == COUNT
    assert found.doubtful
    assert not found.contradicted


def test_a_database_is_read_as_it_is(tmp_path):
    expected = matched()
    names = list(expected.place)
    found = read_matches(write_database(tmp_path / "database.db", expected), names)
    assert {p.names: len(p.matches) for p in found.pairs} == {
        p.names: len(p.matches) for p in expected.pairs
    }
    assert found.walk
    assert judge(model_of(around()), found) == judge(model_of(around()), expected)
    shuffled = read_matches(tmp_path / "database.db", [names[7 * i % COUNT] for i in range(COUNT)])
    assert not shuffled.walk


def test_a_walk_is_tried_again_from_neighbours(tmp_path):
    """No pair of opposite photos is left; the loop is closed by those that agree."""
    matches = matched()
    words, near = next(iter(plans(matches)))
    assert BY_ORDER in words
    assert pair(0, 1) in near
    assert pair(11, 12) in near
    assert pair(0, 12) not in near
    database = write_database(tmp_path / "database.db", matches)
    fewer = read_matches(with_pairs(database, tmp_path / "near.db", near), list(matches.place))
    assert {p.names for p in fewer.pairs} == near
    assert len(read_matches(database, list(matches.place)).pairs) == len(matches.pairs)
    closed = agreeing(model_of(around()), matches, near)
    assert pair(0, COUNT - 1) in closed
    assert pair(0, 12) not in closed


def test_unordered_photos_are_tried_again_from_strong_pairs():
    matches = matched(walk=False)
    words, kept = zip(*plans(matches), strict=True)
    assert not any(BY_ORDER in text for text in words)
    counts = {p.names: len(p.matches) for p in matches.pairs}
    assert min(counts[names] for names in kept[0]) >= 45


def solution(placed: int, torn: int) -> Solution:
    names = [name_of(i) for i in range(placed)]
    found = Consistency(frozenset(names), 100, torn, 0, 0, tuple(names[:torn]), 0, (), 100, False)
    return Solution("quick", Path(), Path(), [placed], {}, {}, consistency=found)


@pytest.mark.parametrize(
    ("tries", "best"),
    [
        ([(20, 0), (25, 0)], 1),
        ([(30, 8), (22, 0)], 1),  # without contradictions, if it places enough
        ([(30, 8), (9, 0)], 0),
        ([(30, 12), (28, 4)], 1),  # the fewest, where all have some
    ],
)
def test_the_solve_with_the_fewest_contradictions_is_kept(tries, best):
    solutions = [solution(*counts) for counts in tries]
    assert choose(solutions) is solutions[best]
    nothing = replace(solutions[0], model=None, models=[], consistency=None)
    assert choose([nothing, *solutions]) is solutions[best]


def test_scale_and_axes_of_a_solve_do_not_matter():
    model = model_of(around())
    before = judge(model, matched())
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    model.transform(pycolmap.Sim3d(3.0, pycolmap.Rotation3d(turn), np.array([1.0, 2, 3])))
    assert judge(model, matched()) == before


def test_a_carton_with_like_sides_is_solved_by_the_order_of_the_walk(tmp_path):
    """Its photos alone make half a carton of it, in which nothing reprojects badly."""
    blank = np.full((64, 64, 3), 235, np.uint8)
    plain = [(*face[:3], blank) for face in (FLOOR, BOX[4])]
    like = [(*face[:3], pattern(1 + i % 2)) for i, face in enumerate(BOX[:4])]
    poses = orbit(30)
    photos = take_photos(tmp_path / "photos", poses, (320, 240), 320, faces=[*plain, *like])
    report = run(photos, tmp_path / "scene")
    assert report["placed"] == 30
    assert report["solver"]["photos_in_doubt"] == 0
    scene = load_scene(SceneConfig(str(tmp_path / "scene"), "colmap"))
    centre, angle = pose_errors(world_poses(scene), poses)
    assert centre < 2
    assert angle < 3
    assert BY_ORDER in report["solver"]["pairs"]
    assert "only the order of the photos" in report["advice"][0]
