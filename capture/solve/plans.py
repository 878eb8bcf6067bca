"""From which pairs of photos a solve is tried again, where the first one contradicts itself.

What sides that look alike match is left out: by the order of a walk, by the number of matches, by
each photo's closest partners. Only the mapping is repeated; features and matches stay.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pycolmap

from capture.checks.contradictions import STRONG, Matches, disagreements
from writing.files import replacing

Names = frozenset[str]
BY_ORDER = "apart in their order"

# Shares of a walk up to which photos are matched: a quarter of the way around, four like sides
# look alike.
_NEAR, _LESS_NEAR = 0.08, 0.12
_MANY = 1.5  # times the matches of a strong pair
_PARTNERS = 5
# Pairs whose matches are off by less, in long sides of the photo, close the loop of a solve that
# drifted a little; those of like sides are off by several times as much.
_DRIFTED = 0.06


def plans(matches: Matches) -> Iterator[tuple[str, set[Names]]]:
    """The tries in their order, at most three: in words, and the pairs that each keeps."""
    if matches.walk:
        for share in (_NEAR, _LESS_NEAR):
            reach = max(2, round(share * len(matches.place)))
            near = {pair.names for pair in matches.pairs if matches.apart(pair) <= reach}
            yield f"from photos at most {reach} {BY_ORDER}", near
    many = int(_MANY * STRONG)
    strict = {pair.names for pair in matches.pairs if len(pair.matches) >= many}
    yield f"from pairs with at least {many} matches", strict
    if not matches.walk:
        yield f"from the {_PARTNERS} closest partners of each photo", _closest(matches)


def agreeing(model: pycolmap.Reconstruction, matches: Matches, keep: set[Names]) -> set[Names]:
    """The pairs of a plan, and all others that its outcome agrees with: they close loops."""
    off = disagreements(model, matches)
    return keep | {names for names, distance in off.items() if distance < _DRIFTED}


def with_pairs(database: Path, target: Path, keep: set[Names]) -> Path:
    """A copy of a COLMAP database with these verified pairs alone."""
    with replacing(target) as temporary:
        shutil.copyfile(database, temporary)
        with pycolmap.Database.open(temporary) as opened:
            names = {image.image_id: image.name for image in opened.read_all_images()}
            for number in opened.read_two_view_geometry_num_inliers()[0]:
                first, second = pycolmap.pair_id_to_image_pair(number)
                if frozenset((names[first], names[second])) not in keep:
                    opened.delete_two_view_geometry(first, second)
    return target


def _closest(matches: Matches) -> set[Names]:
    """Pairs that are among the closest partners of both."""
    partners = defaultdict(list)
    for pair in matches.pairs:
        for name in pair.names:
            partners[name].append((len(pair.matches), pair.names))
    top = {
        name: {pair for _, pair in sorted(found, key=lambda p: -p[0])[:_PARTNERS]}
        for name, found in partners.items()
    }
    return {
        pair.names
        for pair in matches.pairs
        if pair.names in top[pair.first] and pair.names in top[pair.second]
    }
