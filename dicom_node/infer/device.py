"""The parent's side: a warm child process, one task at a time, killed at its limit and started anew."""

import os
import selectors
import signal
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from dicom_node.clock import Clock
from dicom_node.errors import ChildDied, ChildRaised, ChildTooSlow
from dicom_node.values import Analysed, NotAnalysed, Reason, Result, Trial, codec

from .request import (
    LONGEST_LINE_BYTES,
    AheadRequest,
    AnyRequest,
    ExampleRequest,
    Reply,
    Request,
    Task,
    TuneRequest,
    VolumeAheadRequest,
    parse_reply,
    write_task,
)

START_LIMIT_S = 120.0  # a cold disk reads the libraries in up to a minute
_END_LIMIT_S = 5.0
_LOOK_S = 0.25  # how long a wait for the pipe lasts before the clock is asked again
_PIPE_BYTES = 65536
_MOMENT_S = 0.25


class Device:
    """Starts `command` with the number of the descriptor for replies as last argument, and keeps it warm.

    Several threads may call `run`; one task runs at a time. Close it, or use it in a `with`.
    """

    def __init__(self, command: Sequence[str], clock: Clock, *, start_limit_s: float = START_LIMIT_S) -> None:
        self._command, self._clock, self._start_limit_s = tuple(command), clock, start_limit_s
        self._child: _Child | None = None
        self._turn = threading.Lock()  # one child, one task: threads meet here and nowhere behind it
        # The kernel's "die with your parent" means the thread that started the child; this one lives as long as the device.
        self._starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="inference")
        self._folder = tempfile.TemporaryDirectory(prefix="dicom-node-")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def start(self) -> None:
        """Start the child now rather than with the first task; raises ChildDied or ChildTooSlow where it does not come up."""
        with self._turn:
            self._warm()

    def run(self, request: Request, *, time_limit_s: float, memory_limit_mb: int) -> Result:
        """The result of a request.

        Raises ChildDied (also where memory ran out in a native library), ChildTooSlow, or ChildRaised; in the first two cases
        the child is gone and the next task gets a new one.
        """
        result = self._answer_of(request, time_limit_s, memory_limit_mb)
        assert isinstance(result, Analysed | NotAnalysed)
        return result

    def try_example(self, request: ExampleRequest, *, time_limit_s: float, memory_limit_mb: int) -> Reason | None:
        """None where the package gives on its example what it must, else the reason; raises as `run` does."""
        reason = self._answer_of(request, time_limit_s, memory_limit_mb)
        assert reason is None or isinstance(reason, Reason)
        return reason

    def try_settings(self, request: TuneRequest, *, time_limit_s: float, memory_limit_mb: int) -> tuple[Trial, ...]:
        """How fast the package's networks are with which settings; raises as `run` does."""
        trials = self._answer_of(request, time_limit_s, memory_limit_mb)
        assert isinstance(trials, tuple)
        return trials

    def read_ahead(self, request: AheadRequest | VolumeAheadRequest, *, time_limit_s: float) -> bool:
        """Have headers and pixels read that the next task will want, where the child has nothing to do now; whether that was done.

        A whole volume waits for a moment: what the child does may be a few images of the same. A child that fails at it is gone, and the
        next task gets a new one, in which they are read when they are wanted.
        """
        if not self._turn.acquire(timeout=_MOMENT_S if isinstance(request, VolumeAheadRequest) else 0.0):
            return False
        try:
            child = self._child
            if child is None or child.process.poll() is not None:
                return False
            task = Task(request=request, output=str(Path(self._folder.name) / "ahead"), memory_limit_mb=0)
            return self._asked(child, write_task(task), time_limit_s).error is None
        except (ChildDied, ChildTooSlow):
            return False
        finally:
            self._turn.release()

    def _answer_of(self, request: AnyRequest, time_limit_s: float, memory_limit_mb: int) -> object:
        with self._turn:
            try:
                child = self._warm()
            except ChildTooSlow as cause:  # it did not come up, which says nothing about the task
                raise ChildDied(exit_code=-signal.SIGKILL) from cause
            output = Path(self._folder.name) / "result"
            output.unlink(missing_ok=True)
            task = Task(request=request, output=str(output), memory_limit_mb=memory_limit_mb)
            reply = self._asked(child, write_task(task), time_limit_s)
            if reply.error is not None:
                raise ChildRaised(reply.error, reply.for_now)
            answer: object = codec.load(output.read_bytes())
            output.unlink()
        return answer

    def close(self) -> None:
        """End the child; without one it does nothing."""
        with self._turn:
            if self._child is not None:
                self._child.end()
                self._child = None
            self._starter.shutdown()
            self._folder.cleanup()

    def abandon(self) -> None:
        """Leave nothing behind on the disk, without waiting for a task that still runs: the process is about to end."""
        self._folder.cleanup()

    def _warm(self) -> "_Child":
        if self._child is not None and self._child.process.poll() is not None:
            self._child.end()  # it died while it had nothing to do
            self._child = None
        if self._child is None:
            self._child = self._starter.submit(_Child, self._command).result()
            self._asked(self._child, b"", self._start_limit_s)
        return self._child

    def _asked(self, child: "_Child", line: bytes, limit_s: float) -> Reply:
        """Send a line and wait for the reply. A child that fails is killed."""
        try:
            return parse_reply(child.ask(line, self._clock, limit_s))
        except (ChildDied, ChildTooSlow):
            child.end()
            self._child = None
            raise
        except ValueError as cause:
            child.end()
            self._child = None
            raise ChildDied(exit_code=child.process.returncode) from cause


class _Child:
    """One process and its two pipes. Its standard output is thrown away: libraries print there what they like."""

    def __init__(self, command: Sequence[str]) -> None:
        read, write = os.pipe()
        try:
            self.process = subprocess.Popen(
                [*command, str(write)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, pass_fds=(write,), bufsize=0
            )
        except OSError:
            os.close(read)
            raise
        finally:
            os.close(write)
        assert self.process.stdin is not None
        self._tasks, self._replies = self.process.stdin.fileno(), read
        os.set_blocking(self._tasks, False)

    def ask(self, line: bytes, clock: Clock, limit_s: float) -> bytes:
        """Write a line and read one; raises ChildDied or ChildTooSlow. A child that does not read holds up nobody either."""
        end = clock.monotonic() + limit_s
        unsent, answer = memoryview(line), bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(self._replies, selectors.EVENT_READ)
            if unsent:
                selector.register(self._tasks, selectors.EVENT_WRITE)
            while not answer.endswith(b"\n"):
                left_s = end - clock.monotonic()
                if left_s <= 0:
                    raise ChildTooSlow(limit_s=limit_s)
                for key, _ in selector.select(min(left_s, _LOOK_S)):
                    if key.fd == self._replies:
                        answer += self._read(len(answer))
                    else:
                        unsent = unsent[self._write(unsent) :]
                        if not unsent:
                            selector.unregister(self._tasks)
        return bytes(answer)

    def end(self) -> None:
        """Kill the process and wait until it is gone."""
        self.process.kill()
        self.process.wait(_END_LIMIT_S)
        if self._replies >= 0:
            os.close(self._replies)
            self._replies = -1
            assert self.process.stdin is not None
            self.process.stdin.close()

    def _read(self, already: int) -> bytes:
        content = os.read(self._replies, _PIPE_BYTES)
        if not content or already + len(content) > LONGEST_LINE_BYTES:
            self.process.kill()
            raise ChildDied(exit_code=self.process.wait(_END_LIMIT_S))
        return content

    def _write(self, unsent: memoryview) -> int:
        try:
            return os.write(self._tasks, unsent[:_PIPE_BYTES])
        except BrokenPipeError as cause:
            self.process.kill()
            raise ChildDied(exit_code=self.process.wait(_END_LIMIT_S)) from cause
