"""UIDs, series numbers and times."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UID

from dicom_node.encode import Profile
from dicom_node.encode.identity import NO_MOMENT, Moment, derive_object_uids, derive_series_number, find_latest_moment
from dicom_node.values import ObjectKind, Role
from tests.encode.results import PROFILE


@given(st.text(), st.sampled_from(ObjectKind), st.text())
def test_derived_uids_are_legal_and_differ_by_kind(key: str, kind: ObjectKind, version: str) -> None:
    """Trap: UID over 64 characters or with leading zeros."""
    profile = Profile(ae_title="A", node_version=version)
    uids = dataclasses.astuple(derive_object_uids(key, kind, profile))
    others = [uid for other in ObjectKind if other is not kind for uid in dataclasses.astuple(derive_object_uids(key, other, profile))]
    assert len({*uids, *others}) == len(uids) * len(ObjectKind)
    assert all(len(uid) <= 64 and UID(uid).is_valid for uid in uids)


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Profile)])
def test_every_field_of_the_profile_changes_the_uids(field: str) -> None:
    """Two destinations may get other objects, never other bytes under one UID."""
    changes = {"language": "fr", "objects": (ObjectKind.LABEL_MAP, ObjectKind.REPORT_3D), "most_frames": 400}
    other = dataclasses.replace(PROFILE, **{field: changes.get(field, "other")})
    report = ObjectKind.REPORT_3D
    assert derive_object_uids("key", report, PROFILE).instance != derive_object_uids("key", report, other).instance


def test_an_object_keeps_its_uid_where_another_one_beside_it_is_exchanged() -> None:
    other = dataclasses.replace(PROFILE, objects=(ObjectKind.SEGMENTATION, ObjectKind.REPORT_COMPREHENSIVE))
    same = ObjectKind.SEGMENTATION
    assert derive_object_uids("key", same, PROFILE) == derive_object_uids("key", same, other)


def test_instances_of_one_series_differ() -> None:
    first, second = (derive_object_uids("key", ObjectKind.CAPTURE, PROFILE, number) for number in (1, 2))
    assert (first.series, first.instance != second.instance) == (second.series, True)


@given(st.text(min_size=1), st.integers(0, 26000))
def test_series_numbers_are_high_and_not_the_sources(name: str, taken: int) -> None:
    numbers = [derive_series_number(name, role, taken) for role in Role]
    assert all(9000 <= number < 26000 and number != taken for number in numbers)
    assert len(set(numbers)) == len(numbers)
    assert numbers == [derive_series_number(name, role, taken) for role in Role]


@pytest.mark.parametrize(
    ("instances", "latest"),
    [
        ([{}], NO_MOMENT),
        ([{"StudyDate": "20250102", "StudyTime": "1015"}], Moment("20250102", "101500")),
        ([{"StudyDate": "20250102", "StudyTime": "101500.250"}], Moment("20250102", "101500.250")),
        ([{"StudyDate": "2025.01.02", "StudyTime": "10:15:00"}], Moment("20250102", "101500")),
        ([{"StudyDate": "20251302", "ContentDate": "20250101"}], Moment("20250101", "000000")),
        ([{"StudyTime": "101500"}], NO_MOMENT),
        (
            [{"AcquisitionDateTime": "20250102101500.5+0100", "StudyDate": "20250101"}],
            Moment("20250102", "101500.5"),
        ),
        (
            [{"ContentDate": "20250102", "ContentTime": "23"}, {"StudyDate": "20250103", "StudyTime": "01"}],
            Moment("20250103", "010000"),
        ),
        ([{"ContentDate": "20250103", "ContentTime": "noon"}, {"StudyDate": "20250102"}], Moment("20250103", "000000")),
    ],
)
def test_the_latest_legal_time_of_the_images_counts(instances: list[dict[str, str]], latest: Moment) -> None:
    assert find_latest_moment(instances) == latest
    assert find_latest_moment(reversed(instances)) == latest
