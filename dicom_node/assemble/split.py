"""Which attribute tells several volumes of one series apart?"""

from collections import defaultdict
from collections.abc import Sequence
from itertools import chain, combinations

import numpy as np
import numpy.typing as npt

from dicom_node.values import DIMENSION_KEYWORDS

from .planes import Plane

# Name of a volume (keyword, value), and the indices of its planes.
Groups = list[tuple[tuple[str, str], list[int]]]


def find_split(planes: Sequence[Plane], places: npt.NDArray[np.int64]) -> Groups | None:
    """The indices of the planes by volume, each with the attribute and value that names it; or None where no attribute tells them apart.

    `places` gives the rank of each plane along the normal. An attribute splits when no place repeats within a value and when
    there are as many values as planes at the fullest place: one that has more of them (a trigger time that drifts from slice
    to slice) names slices, not volumes. Single attributes are tried before pairs, in the order of DIMENSION_KEYWORDS.
    A pair is named "First+Second" with values joined alike.
    """
    fullest = int(np.bincount(places).max())
    values = [dict(plane.dimensions) for plane in planes]
    telling = [keyword for keyword in DIMENSION_KEYWORDS if len({value.get(keyword, "") for value in values}) > 1]
    for keywords in chain(combinations(telling, 1), combinations(telling, 2)):
        groups: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
        for index, value in enumerate(values):
            groups[tuple(value.get(keyword, "") for keyword in keywords)].append(index)
        if len(groups) == fullest and all(_is_free_of_repeats(places[members]) for members in groups.values()):
            return [
                (("+".join(keywords), "+".join(name)), members)
                for name, members in sorted(groups.items(), key=lambda item: [_order(text) for text in item[0]])
            ]
    return None


def _is_free_of_repeats(places: npt.NDArray[np.int64]) -> bool:
    return len(np.unique(places)) == len(places)


def _order(text: str) -> tuple[float, str]:
    """Numbers by value, before words by letter."""
    try:
        return (float(text), text)
    except ValueError:
        return (float("inf"), text)
