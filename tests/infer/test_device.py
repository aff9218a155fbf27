"""The inference process may raise, crash, hang, print and eat memory: the node sees a typed error, and the next task works."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dicom_node import assemble, infer, spool
from dicom_node.clock import SystemClock
from dicom_node.errors import Again, ChildDied, ChildRaised, ChildTooSlow
from dicom_node.package import load_package
from dicom_node.values import (
    AETitle,
    Analysed,
    CompletenessRule,
    Form,
    FrameRef,
    Geometry,
    InstanceRef,
    NotAnalysed,
    Reason,
    Reservation,
    ResultIdentity,
    StoredSeries,
    codec,
)
from dicom_node.values.reasons import ExampleNotMet, NoPixels, NotANumber
from tests.make import make_series, to_refs
from tests.places import REPOSITORY

from .examples import bright_package, inside_ball, write_threshold_segmenter

GEOMETRY = Geometry(Form.CLASSIC, (FrameRef("1.2", 1),), (1, 2, 2), (1.0, 1.0, 1.0), None, None, None, tolerated=("duplicate-identical",))
LIMIT_MB = 1500


def command(mode: str = "well") -> tuple[str, ...]:
    return (sys.executable, "-m", "tests.infer.odd_child", mode)


@pytest.fixture
def in_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)


@pytest.fixture
def device(in_repository: None) -> Iterator[infer.Device]:
    with infer.Device(command(), SystemClock()) as running:
        yield running


@pytest.fixture
def request_for(tmp_path: Path) -> Callable[[str], infer.Request]:
    bright_package(tmp_path / "well", 10.0)

    def request(name: str) -> infer.Request:
        if name != "well":
            shutil.copytree(tmp_path / "well", tmp_path / name)
        stored = StoredSeries("1.2.3.4", "1.2.3", (), CompletenessRule.COUNT, AETitle("CT1"))
        return infer.Request(str(tmp_path / name), str(tmp_path), stored, GEOMETRY, ResultIdentity("0123", None))

    return request


def run(device: infer.Device, request: infer.Request, limit_s: float = 60.0) -> Analysed | NotAnalysed:
    return device.run(request, time_limit_s=limit_s, memory_limit_mb=LIMIT_MB)


def child_of(device: infer.Device) -> int:
    assert device._child is not None
    return device._child.process.pid


def test_headers_are_read_ahead_where_the_child_has_nothing_else_to_do(
    device: infer.Device, request_for: Callable[[str], infer.Request], tmp_path: Path
) -> None:
    image = InstanceRef("1.2", "1.3", "1.4", "d", "aa/file.dcm", 0, 1)

    def ahead(root: Path) -> bool:
        root.mkdir(exist_ok=True)
        return device.read_ahead(infer.AheadRequest(str(root), (image,)), time_limit_s=30.0)

    assert not ahead(tmp_path)  # no child is started for it
    device.start()
    assert ahead(tmp_path)
    assert (tmp_path / "read-ahead").read_text(encoding="utf-8") == "aa/file.dcm"
    with device._turn:  # as while a task runs
        assert not ahead(tmp_path)
    assert not ahead(tmp_path / "crash")
    assert isinstance(run(device, request_for("well")), NotAnalysed)  # in a new child


def test_a_reason_comes_back_as_a_value(device: infer.Device, request_for: Callable[[str], infer.Request]) -> None:
    result = run(device, request_for("well"))
    assert isinstance(result, NotAnalysed)
    assert (result.key, result.series_instance_uid, result.reason) == ("0123", "1.2.3.4", NoPixels())
    assert result.package is not None
    assert result.package.name == "example"


def test_the_child_stays_warm(device: infer.Device, request_for: Callable[[str], infer.Request]) -> None:
    device.start()
    first = child_of(device)
    run(device, request_for("well"))
    run(device, request_for("well"))
    assert child_of(device) == first


def test_an_exception_is_answered_by_its_class_alone_and_the_child_goes_on(
    device: infer.Device, request_for: Callable[[str], infer.Request], capfd: pytest.CaptureFixture[str]
) -> None:
    device.start()
    first = child_of(device)
    with pytest.raises(ChildRaised) as caught:
        run(device, request_for("raise"))
    assert caught.value.error == "Unheard"
    assert "Muster" not in str(caught.value) + repr(caught.value) + "".join(capfd.readouterr())
    assert isinstance(run(device, request_for("well")), NotAnalysed)
    assert child_of(device) == first


def test_a_child_says_whether_it_was_the_machines_fault(device: infer.Device, request_for: Callable[[str], infer.Request]) -> None:
    """A disk that is away is not the model's: the job is done again later, and no try of the model's is spent."""
    for accident, error, for_now in (("disk", "SpoolFailed", True), ("full", "OSError", False), ("raise", "Unheard", False)):
        with pytest.raises(ChildRaised) as caught:
            run(device, request_for(accident))
        assert (caught.value.error, caught.value.for_now) == (error, for_now)


@pytest.mark.parametrize(("accident", "exit_code"), [("kill", -signal.SIGKILL), ("crash", -signal.SIGSEGV), ("exit", 3)])
def test_a_child_that_dies_is_replaced(
    device: infer.Device, request_for: Callable[[str], infer.Request], accident: str, exit_code: int
) -> None:
    with pytest.raises(ChildDied) as caught:
        run(device, request_for(accident))
    assert caught.value.exit_code == exit_code
    assert caught.value.again is Again.LATER
    assert isinstance(run(device, request_for("well")), NotAnalysed)


def test_a_child_that_hangs_is_killed_at_its_limit(device: infer.Device, request_for: Callable[[str], infer.Request]) -> None:
    device.start()
    first = child_of(device)
    start = time.monotonic()
    with pytest.raises(ChildTooSlow) as caught:
        run(device, request_for("hang"), limit_s=0.5)
    assert time.monotonic() - start < 5
    assert caught.value.limit_s == 0.5
    assert caught.value.again is Again.NEVER
    assert not Path(f"/proc/{first}").exists()
    assert isinstance(run(device, request_for("well")), NotAnalysed)


def test_memory_beyond_the_limit_is_refused(device: infer.Device, request_for: Callable[[str], infer.Request]) -> None:
    with pytest.raises((ChildRaised, ChildDied)) as caught:
        run(device, request_for("memory"))
    assert getattr(caught.value, "error", "MemoryError") == "MemoryError"
    assert isinstance(run(device, request_for("well")), NotAnalysed)
    more = device.run(request_for("memory-2"), time_limit_s=60, memory_limit_mb=8000)  # the limit is that of each task
    assert isinstance(more, NotAnalysed)


def test_what_libraries_print_is_no_answer(device: infer.Device, request_for: Callable[[str], infer.Request]) -> None:
    assert isinstance(run(device, request_for("print")), NotAnalysed)
    assert isinstance(run(device, request_for("well")), NotAnalysed)


def test_a_child_that_died_while_it_was_idle_is_replaced(device: infer.Device, request_for: Callable[[str], infer.Request]) -> None:
    run(device, request_for("well"))
    os.kill(child_of(device), signal.SIGKILL)
    os.waitid(os.P_PID, child_of(device), os.WEXITED | os.WNOWAIT)
    assert isinstance(run(device, request_for("well")), NotAnalysed)


def test_a_task_as_large_as_many_instances_gets_through(device: infer.Device, request_for: Callable[[str], infer.Request]) -> None:
    """Some megabytes: much more than a pipe holds."""
    well = request_for("well")
    instances = tuple(InstanceRef(f"1.2.840.{number}", "1.2.840.1", "1.2.840.2", "ab" * 32, "cd" * 20, 132, 9) for number in range(8000))
    stored = StoredSeries("1.2.3.4", "1.2.3", instances, CompletenessRule.COUNT, AETitle("CT1"))
    assert isinstance(run(device, infer.Request(well.package, well.spool, stored, GEOMETRY, well.identity)), NotAnalysed)


def test_a_package_that_was_changed_is_not_run(device: infer.Device, request_for: Callable[[str], infer.Request], tmp_path: Path) -> None:
    well = request_for("well")
    digest = bright_package(tmp_path / "well", 10.0).ref.digest
    asked = infer.Request(well.package, well.spool, well.stored, well.geometry, well.identity, (), digest)
    run(device, asked)
    new_digest = bright_package(tmp_path / "well", 20.0).ref.digest
    renewed = infer.Request(well.package, well.spool, well.stored, well.geometry, well.identity, (), new_digest)
    result = run(device, renewed)
    assert isinstance(result, NotAnalysed)
    assert result.package is not None
    assert result.package.digest == new_digest
    with pytest.raises(ChildRaised) as caught:
        run(device, asked)
    assert caught.value.error == "ModelUnusable"


def test_the_example_is_run_in_the_child(device: infer.Device, tmp_path: Path) -> None:
    """A package whose network still does what it did passes; one whose network was changed gives the reason."""

    def try_example(name: str) -> Reason | None:
        request = infer.ExampleRequest(str(tmp_path / name), load_package(tmp_path / name).ref.digest)
        return device.try_example(request, time_limit_s=60, memory_limit_mb=LIMIT_MB)

    for name in ("good", "changed", "undefined"):
        bright_package(tmp_path / name, 450.0)
    write_threshold_segmenter(tmp_path / "changed" / "bright.onnx", 5000.0)  # finds nothing
    write_threshold_segmenter(tmp_path / "undefined" / "bright.onnx", 450.0, power=0.5)
    assert [try_example(name) for name in ("good", "changed", "undefined")] == [None, ExampleNotMet(1, 0, 0, 1), NotANumber("bright")]
    (tmp_path / "changed" / "bright.onnx").write_bytes(b"no network")
    with pytest.raises(ChildRaised) as caught:
        try_example("changed")
    assert caught.value.error == "ModelUnusable"


@pytest.mark.parametrize(("mode", "error"), [("dead", ChildDied), ("silent", ChildTooSlow), ("babble", ChildDied)])
def test_a_child_that_does_not_come_up_is_an_error(in_repository: None, mode: str, error: type[Exception]) -> None:
    with infer.Device(command(mode), SystemClock(), start_limit_s=3.0) as device, pytest.raises(error):
        device.start()


def test_closing_ends_the_child(in_repository: None) -> None:
    device = infer.Device(command(), SystemClock())
    device.start()
    pid = child_of(device)
    device.close()
    assert not Path(f"/proc/{pid}").exists()


_PARENT = """
import sys, time
from pathlib import Path
from dicom_node import infer
from dicom_node.clock import SystemClock
device = infer.Device((sys.executable, "-m", *sys.argv[1:]), SystemClock())
device.start()
print(device._child.process.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("child", [("dicom_node.roles.inference", "1", "cpu", "untuned"), ("tests.infer.odd_child", "well")])
def test_the_child_ends_with_its_parent(in_repository: None, child: tuple[str, ...]) -> None:
    """By the kernel's signal, which the role asks for, and by the end of its pipe, which is all that the other one has."""
    parent = subprocess.Popen([sys.executable, "-c", _PARENT, *child], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert Path(f"/proc/{pid}").exists()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not is_running(pid))


def test_a_series_is_analysed_in_the_real_process_the_same_each_time(in_repository: None, tmp_path: Path) -> None:
    """The role, the spool's reader, the decoder, the network and the codec; twice, in two processes."""
    package = bright_package(tmp_path / "package", 450.0)
    datasets = make_series(
        lambda lps: (900 * inside_ball(lps, (4.0, -6.0, 2.0), 15.0)).astype("float32"), shape=(24, 32, 32), spacing_mm=(3.0, 2.0, 2.0)
    )
    instances = tuple(to_refs(datasets, tmp_path / "spool"))
    study, series = str(datasets[0].StudyInstanceUID), str(datasets[0].SeriesInstanceUID)
    stored = StoredSeries(series, study, instances, CompletenessRule.QUIET_TIME, AETitle("CT1"))
    headers = spool.read_headers(
        tmp_path / "spool", instances, series_instance_uid=series, study_instance_uid=study, rule=CompletenessRule.QUIET_TIME
    )
    (geometry,) = assemble.find_volumes(headers)
    assert isinstance(geometry, Geometry)
    asked = infer.Request(
        str(tmp_path / "package"), str(tmp_path / "spool"), stored, geometry, ResultIdentity("0123", "abcd"),
        (Reservation.COMPLETENESS_NOT_PROVEN,), package.ref.digest,
    )  # fmt: skip
    results = []
    for _ in range(2):
        with infer.Device((sys.executable, "-m", "dicom_node.roles.inference", "1", "cpu", "untuned"), SystemClock()) as device:
            results.append(device.run(asked, time_limit_s=60.0, memory_limit_mb=4000))
    first, second = results
    assert isinstance(first, Analysed)
    assert isinstance(second, Analysed)
    (finding,) = first.findings
    assert [round(value) for value in finding.centre_lps] == [4, -6, 2]
    assert (first.predecessor_key, first.reservations) == ("abcd", (Reservation.COMPLETENESS_NOT_PROVEN,))
    assert codec.dump(first.findings) == codec.dump(second.findings)
    (picture,) = first.pictures
    assert (picture.window_centre, picture.window_width) == (40.0, 400.0)  # that of CT: it knows the modality
    assert picture.pixels[finding.mask.origin[1] + 2, finding.mask.origin[2] + 7] == 255
    assert codec.dump(first.pictures) == codec.dump(second.pictures)
    assert first.geometry == geometry


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition: Callable[[], bool], limit_s: float = 20.0) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end
        SystemClock().wait(0.05)
