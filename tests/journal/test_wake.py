"""The engine's queues look for jobs when they are called, and not only when their interval is over."""

import inspect
import threading

from dbos import _queue

from dicom_node.journal.engine import _THREAD, Wake
from tests.peers.waiting import wait_until

_LONG_S = 60.0


def test_waits_end_early_when_they_are_called_and_say_that_nobody_stops() -> None:
    event, answers = threading.Event(), list[bool]()
    wake, entered = Wake(), threading.Semaphore(0)
    wake.watch([event])

    def work() -> None:
        while not event.is_set():
            entered.release()
            answers.append(event.wait(_LONG_S))

    threads = [threading.Thread(target=work, name=f"queue-worker-{name}") for name in ("look", "work")]
    for thread in threads:
        thread.start()
        entered.acquire()
    for called in range(1, 4):
        wake("work")  # and nobody else
        wait_until(lambda: len(answers) == called, limit_s=10, what="a wait did not end")  # noqa: B023
    assert not any(answers)
    event.set()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert answers[-2:] == [True, True]


def test_the_library_calls_its_threads_as_we_do() -> None:
    """The name is nowhere promised."""
    assert f'name=f"{_THREAD.format("{queue_name}")}"' in inspect.getsource(_queue.queue_thread)


def test_a_call_between_two_waits_ends_the_second_one() -> None:
    event, wake = threading.Event(), Wake()
    wake.watch([event])
    answers = list[bool]()

    def work() -> None:
        answers.append(event.wait(0.001))
        wake("look")
        answers.append(event.wait(_LONG_S))

    thread = threading.Thread(target=work, name="queue-worker-look")
    thread.start()
    thread.join(10)
    assert answers == [False, False]


def test_a_wait_that_began_before_goes_on_until_it_is_told_to_end() -> None:
    """The threads of the engine wait already when their events are taken charge of; one that took a call for the end would end for good."""
    event, answers, wake = threading.Event(), list[bool](), Wake()

    def work() -> None:
        answers.append(event.wait(_LONG_S))
        answers.append(event.wait(_LONG_S))

    thread = threading.Thread(target=work, name="queue-worker-work")
    thread.start()
    wait_until(lambda: event._cond._waiters, limit_s=10, what="nobody waits")  # type: ignore[attr-defined]
    wake.watch([event])
    wake("work")
    thread.join(0.3)
    assert answers == []
    event.set()
    thread.join(10)
    assert answers == [True, True]
