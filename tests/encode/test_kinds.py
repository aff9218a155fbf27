"""What takes the place of what a destination does not accept."""

import pytest

from dicom_node.encode.kinds import KINDS, SteppedDown, step_down
from dicom_node.values import ObjectKind

_3D, _COMPREHENSIVE, _ENHANCED, _TEXT, _PAGE = (
    ObjectKind.REPORT_3D, ObjectKind.REPORT_COMPREHENSIVE, ObjectKind.REPORT_ENHANCED, ObjectKind.REPORT_TEXT, ObjectKind.PAGE
)  # fmt: skip
_SEGMENTATION, _CAPTURE = ObjectKind.SEGMENTATION, ObjectKind.CAPTURE


@pytest.mark.parametrize(
    ("wanted", "without", "kinds", "changes"),
    [
        ([_SEGMENTATION, _3D], [], [_SEGMENTATION, _3D], []),
        ([_3D], [_3D], [_COMPREHENSIVE], [(_3D, _COMPREHENSIVE)]),
        ([_3D], [_3D, _COMPREHENSIVE, _ENHANCED], [_TEXT], [(_3D, _TEXT)]),
        ([_3D], [_3D, _COMPREHENSIVE, _ENHANCED, _TEXT], [_PAGE], [(_3D, _PAGE)]),
        ([_3D], [_3D, _COMPREHENSIVE, _ENHANCED, _TEXT, _PAGE], [_CAPTURE], [(_3D, _CAPTURE)]),
        ([_3D], [_3D, _COMPREHENSIVE, _ENHANCED, _TEXT, _PAGE, _CAPTURE], [], [(_3D, None)]),
        ([_SEGMENTATION, _3D, _CAPTURE], [_SEGMENTATION], [_CAPTURE, _3D], [(_SEGMENTATION, _CAPTURE)]),
        ([ObjectKind.MAMMOGRAPHY_CAD], [ObjectKind.MAMMOGRAPHY_CAD], [_COMPREHENSIVE], [(ObjectKind.MAMMOGRAPHY_CAD, _COMPREHENSIVE)]),
        ([ObjectKind.LABEL_MAP], [ObjectKind.LABEL_MAP], [_SEGMENTATION], [(ObjectKind.LABEL_MAP, _SEGMENTATION)]),
        ([_3D, ObjectKind.SCORES], [ObjectKind.SCORES], [_3D], [(ObjectKind.SCORES, None)]),
        ([_3D, ObjectKind.CONTOURS], [ObjectKind.CONTOURS], [_3D, ObjectKind.OUTLINES], [(ObjectKind.CONTOURS, ObjectKind.OUTLINES)]),
    ],
)
def test_a_destination_gets_the_next_best_and_each_once(
    wanted: list[ObjectKind], without: list[ObjectKind], kinds: list[ObjectKind], changes: list[tuple[ObjectKind, ObjectKind | None]]
) -> None:
    found, changed = step_down(wanted, {KINDS[kind].sop_class_uid for kind in without})
    assert list(found) == kinds
    assert changed == tuple(SteppedDown(*change) for change in changes)


def test_what_a_result_cannot_be_written_as_is_left_out_whatever_is_accepted() -> None:
    label_map = ObjectKind.LABEL_MAP
    assert step_down([label_map, _3D], (), {label_map}) == ((_SEGMENTATION, _3D), (SteppedDown(label_map, _SEGMENTATION),))
    no_segmentation = {KINDS[_SEGMENTATION].sop_class_uid}
    assert step_down([label_map, _3D], no_segmentation, {label_map}) == ((_CAPTURE, _3D), (SteppedDown(label_map, _CAPTURE),))
    assert step_down([_SEGMENTATION, _3D], (), {label_map}) == ((_SEGMENTATION, _3D), ())


def test_each_way_down_ends() -> None:
    for kind in ObjectKind:
        assert step_down([kind], {one.sop_class_uid for one in KINDS.values()})[0] == ()
