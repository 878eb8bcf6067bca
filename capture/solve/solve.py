"""Poses from photos: features, matches, mapping; and again where photos are lost or in doubt."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pycolmap

from capture.checks.contradictions import Consistency, judge, read_matches
from capture.input.photos import Photo
from capture.solve import features
from capture.solve.features import QUICK, THOROUGH, Effort
from capture.solve.mapping import Mapper, map_photos
from capture.solve.plans import BY_ORDER, Names, agreeing, plans, with_pairs
from capture.steps import Damaged, Steps, digest
from datasets.sparse.model import read_one
from errors import UserError
from writing.files import check_room

# A quick try that places fewer of the photos than this is followed by a thorough one.
_CONTENT = 0.95
# A solve without contradictions is preferred to one with them that places more photos, if it
# places this share of them.
_ENOUGH = 0.6


@dataclass(frozen=True)
class Solution:
    """One try's outcome.

    Attributes:
        effort: name of the try.
        database: COLMAP's database with features and matches.
        model: folder of the model with the most photos; None where nothing was solved.
        models: photos in each model.
        features, partners: per photo, by its name.
        pairs: from which the poses were solved, in words; "" for all.
        consistency: how the model agrees with all matches; None without a model.
        contested: photos that other tries placed, in contradiction to their matches.
    """

    effort: str
    database: Path
    model: Path | None
    models: list[int]
    features: dict[str, int]
    partners: dict[str, int]
    pairs: str = ""
    consistency: Consistency | None = None
    contested: frozenset[str] = frozenset()

    @property
    def placed(self) -> int:
        return max(self.models, default=0)

    @property
    def doubtful(self) -> bool:
        return self.consistency is not None and self.consistency.doubtful

    @property
    def torn(self) -> int:
        return len(self.consistency.torn) if self.consistency is not None else 0

    @property
    def by_order(self) -> bool:
        """Whether the order of the photos told sides apart that look alike."""
        found = self.consistency
        return BY_ORDER in self.pairs and found is not None and found.look_alike

    def figures(self) -> dict[str, Any]:
        """What the report says of the poses: from which pairs, and what contradicts them."""
        found = self.consistency
        if found is None:
            return {}
        return {
            "pairs": self.pairs or "all",
            "strong_pairs": found.strong,
            "contradicting_pairs": found.against,
            "photos_in_doubt": len(found.torn),
            "points_per_photo": found.points,
        }


def solve(photos: list[Photo], folder: Path, mapper: Mapper, steps: Steps) -> Solution:
    """Find the poses of the photos in folder/images.

    A quick try, and a thorough one where it loses photos or contradicts its own matches. One that
    contradicts them is mapped again from fewer pairs, six times at most.
    """
    tries = _attempt(QUICK, photos, folder, mapper, steps)
    best = choose(tries)
    if best.placed < _CONTENT * len(photos) or best.doubtful:
        print(f"{_said(best, photos)}; trying again, thoroughly")
        tries += _attempt(THOROUGH, photos, folder, mapper, steps)
        best = choose(tries)
    if len(best.models) > 1:
        sizes = ", ".join(map(str, sorted(best.models, reverse=True)))
        print(f"the photos fall into {len(best.models)} parts, of {sizes}; the largest is taken")
    if best.doubtful or best.pairs:
        print(f"{_said(best, photos)}, {best.pairs or 'from all pairs'}: this is taken")
    if best.consistency is None or not any(solution.doubtful for solution in tries):
        return best
    known = [solution.consistency.photos for solution in tries if solution.consistency]
    return replace(best, contested=frozenset().union(*known) - best.consistency.photos)


def choose(tries: Sequence[Solution]) -> Solution:
    """Of the solves without contradictions, the one with the most photos.

    Where all have some, or those without place few, the one with the most photos that nothing
    speaks against.
    """
    most = max(solution.placed for solution in tries)
    sound = [s for s in tries if not s.doubtful and s.placed >= _ENOUGH * most]
    if sound:
        return max(sound, key=lambda solution: (solution.placed, -solution.torn))
    return max(tries, key=lambda solution: solution.placed - solution.torn)


def read_own(folder: Path) -> pycolmap.Reconstruction:
    """A model that a step has left. Raises Damaged where it is not as it was left."""
    try:
        return read_one(folder)
    except UserError as error:
        raise Damaged(str(error)) from error


def _attempt(
    effort: Effort, photos: list[Photo], folder: Path, mapper: Mapper, steps: Steps
) -> list[Solution]:
    """The tries of one effort: from all pairs, and, where these contradict it, from fewer."""
    inputs = [photo.to_dict() for photo in photos]
    work = folder / f"{effort.name}-{digest(inputs)}"
    for old in folder.glob(f"{effort.name}-*"):
        if old != work:
            shutil.rmtree(old)
    work.mkdir(parents=True, exist_ok=True)
    database = work / "database.db"
    key = [inputs, effort.name]

    def extract() -> dict[str, int]:
        check_room(work, features.room(photos, effort), "COLMAP's database")
        features.extract(database, folder / "images", photos, effort)
        return features.feature_counts(database)

    def match() -> dict[str, int]:
        check_room(work, features.room(photos, effort) // 2, "COLMAP's database")
        features.match(database, photos)
        return features.match_partners(database)

    counts = steps.run(f"{effort.name} features", key, extract, (database,))
    partners = steps.run(f"{effort.name} matches", key, match, (database,))
    tried = features.pairs_to_match(photos)
    matches = read_matches(database, features.in_order(photos), tried)

    def place(pairs: str = "", keep: set[Names] | None = None) -> Solution:
        name = f"{mapper}-{digest(pairs)}" if pairs else mapper

        def from_pairs() -> dict[str, Any]:
            source = database
            if keep is not None:
                source = with_pairs(database, work / f"{name}.db", keep)
            try:
                return map_photos(
                    source, folder / "images", work / name, effort, mapper, len(photos)
                )
            finally:
                if source != database:
                    source.unlink()

        step = " ".join(filter(None, (effort.name, mapper, "mapping", pairs)))
        result: dict[str, Any] = steps.run(step, key, from_pairs, (work / name,))
        model = consistency = None
        if result["best"] is not None:
            model = work / name / result["best"]
            consistency = judge(read_own(model), matches)
        return Solution(
            effort.name, database, model, result["models"], counts, partners, pairs, consistency
        )

    first = place()
    tries = [first]
    if not first.doubtful:
        return tries
    for pairs, keep in plans(matches):
        print(f"{_said(tries[-1], photos)}; trying again {pairs}")
        again = place(pairs, keep)
        tries.append(again)
        if again.model is None or again.doubtful:
            continue
        wider = agreeing(read_own(again.model), matches, keep)
        tries.append(place(f"{pairs}, and all that agree with these", wider))
        if max(s.placed for s in tries[-2:] if not s.doubtful) >= _CONTENT * first.placed:
            break
    return tries


def _said(solution: Solution, photos: Sequence[Photo]) -> str:
    """How many photos are placed, and what speaks against it."""
    found, text = solution.consistency, f"{solution.placed} of {len(photos)} photos placed"
    if found is None or not found.doubtful:
        return text
    if found.contradicted:
        return (
            f"{text}, {len(found.torn)} of them in doubt ({found.against} of {found.strong} "
            "strongly matched pairs contradict the poses)"
        )
    if found.breaks:
        return f"{text}, in pieces of the walk ({found.breaks} matched neighbours are missing)"
    return f"{text}, {len(found.weak)} of them by next to nothing"
