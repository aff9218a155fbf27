"""An imitation of S3 (moto, a server of its own on a free port): speaks the protocol and keeps objects in memory. Not the real thing."""

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.peers.ports import find_free_port
from tests.peers.waiting import wait_until


@dataclass
class ImitatedS3:
    """A server; `create` makes an empty bucket. `environment` is what a client needs."""

    port: int
    process: subprocess.Popen[bytes] | None = None
    made: int = field(default=0)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "word",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ALLOW_HTTP": "true",
        }

    def start(self) -> None:
        program = Path(sys.executable).parent / "moto_server"
        quiet = subprocess.DEVNULL
        environment = {**os.environ, "MOTO_ACCOUNT_ID": "000000000000"}
        self.process = subprocess.Popen(
            [program, "-H", "127.0.0.1", "-p", str(self.port)], stdin=quiet, stdout=quiet, stderr=quiet, env=environment
        )
        wait_until(self._answers, limit_s=60, what="the imitation of S3 does not answer")

    def create(self, name: str = "") -> str:
        """A new, empty bucket; gives its address, with a prefix in it."""
        self.made += 1
        name = name or f"images-{self.made}"
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/{name}", method="PUT")
        urllib.request.urlopen(request, timeout=30).close()
        return f"s3://{name}/node"

    def signal(self, number: signal.Signals) -> None:
        """Make it silent (SIGSTOP), or speak again (SIGCONT)."""
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self) -> None:
        """It goes, with everything that it holds."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/moto-api/", timeout=5).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True


@contextmanager
def start_imitated_s3() -> Iterator[ImitatedS3]:
    """A running server, gone at the end."""
    running = ImitatedS3(find_free_port())
    try:
        running.start()
        yield running
    finally:
        running.stop()
