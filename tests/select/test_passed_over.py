"""What is said of a study that a package is for and that it takes nothing of."""

from dicom_node import select
from dicom_node.package import Condition, Package
from dicom_node.values import AssembledSeries, FailedCondition, Reason, Refused
from dicom_node.values.reasons import NotSuitable, OutOfService, SliceGap, Tilted
from tests.select.test_judge import package, series

CT = Condition(attribute="Modality", one_of=("CT",))
CHEST = Condition(attribute="BodyPartExamined", one_of=("CHEST",))
THIN = Condition(geometry="slice_spacing_mm", at_most=3)
GAP = SliceGap(10.0, 5.0, 2.5)


def passed_over(
    packages: list[Package], *study: AssembledSeries, out: dict[str, Reason] | None = None
) -> dict[str, tuple[str, Reason | None]]:
    """By package the series and the reason."""
    answers = select.judge(packages, study, out or {})
    return {one.package: (one.series_instance_uid, one.reason) for one in select.find_passed_over(packages, study, answers)}


def test_who_takes_a_series_is_not_passed_over() -> None:
    assert passed_over([package(CT, THIN)], series("1.1"), series("1.2", spacing_mm=5.0)) == {}


def test_the_condition_that_fails_is_the_reason() -> None:
    assert passed_over([package(CT, THIN)], series("1.1", spacing_mm=5.0)) == {
        "lung": ("1.1", NotSuitable("slice_spacing_mm", "at most 3", "5"))
    }


def test_nearest_is_what_fails_the_fewest_conditions_then_what_has_most_images() -> None:
    wrong_twice = series("1.1", spacing_mm=5.0, slices=90, BodyPartExamined="HEAD")
    scout, stack = series("1.2", volumes=(Tilted(9.0),), slices=2), series("1.3", volumes=(GAP,), slices=40)
    assert passed_over([package(CT, CHEST, THIN)], wrong_twice, scout, stack) == {"lung": ("1.3", GAP)}
    assert passed_over([package(CT, CHEST, THIN)], wrong_twice, scout) == {"lung": ("1.2", Tilted(9.0))}


def test_nobody_expects_anything_of_another_modality() -> None:
    mr = Condition(attribute="Modality", one_of=("MR",))
    assert passed_over([package(mr, name="brain"), package(CT, CHEST, name="lung")], series("1.1", BodyPartExamined="HEAD")) == {
        "lung": ("1.1", NotSuitable("BodyPartExamined", "one of CHEST", "HEAD"))
    }
    assert passed_over([package(mr, name="brain")], series("1.1", volumes=(GAP,))) == {}


def test_a_package_that_names_no_modality_is_for_every_study() -> None:
    assert passed_over([package(THIN)], series("1.1", spacing_mm=5.0, Modality="MR")).keys() == {"lung"}


def test_what_waits_for_a_package_out_of_service_is_not_said() -> None:
    thick = series("1.2", spacing_mm=5.0)
    assert passed_over([package(CT, THIN)], series("1.1"), thick, out={"lung": OutOfService("ExampleNotMet")}) == {}


def test_the_answer_itself_says_all_that_failed() -> None:
    packages, study = [package(CT, CHEST, THIN)], [series("1.1", spacing_mm=5.0, BodyPartExamined="HEAD")]
    (one,) = select.find_passed_over(packages, study, select.judge(packages, study))
    assert one == Refused(
        "lung",
        "1.1",
        0,
        (FailedCondition("BodyPartExamined", "one of CHEST", "HEAD"), FailedCondition("slice_spacing_mm", "at most 3", "5")),
        NotSuitable("BodyPartExamined", "one of CHEST", "HEAD"),
    )
