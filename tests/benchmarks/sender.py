"""`python -m tests.benchmarks.sender PORT --images 400 --associations 4`: as many C-STOREs as a receiver takes, from messages made before.

Every PDU of a message is built once; for each image only the digits of its UIDs are written anew, and the bytes go out with one call. One
request is under way in each association. Prints one line of JSON.
"""

import argparse
import hashlib
import json
import struct
import sys
import threading
import time
from dataclasses import dataclass

import numpy as np

from tests.peers.sender import CT_IMAGE, EXPLICIT_LITTLE, RawAssociation, encode_store_request
from tests.receive.receiving import make_data_set

_DIGITS = 8  # of each UID, that tell one image from the other
_MARK = "2.25.9.{kind}.{number:08d}"


@dataclass
class Message:
    """A whole C-STORE request as PDUs, with the places of its digits."""

    content: bytearray
    instance: list[int]
    parents: list[int]

    def stamp(self, number: int, series: int) -> None:
        """Make another image of it, of a series and its study."""
        for at in self.instance:
            self.content[at : at + _DIGITS] = b"%08d" % number
        for at in self.parents:
            self.content[at : at + _DIGITS] = b"%08d" % series


def make_message(association: RawAssociation, number: int, pixels: int) -> Message:
    """An image of `pixels` x `pixels`, 16 bits; another `number` gives other values."""
    instance, series, study = (_MARK.format(kind=kind, number=0) for kind in (1, 2, 3))
    rows = struct.pack("<H", pixels)
    data_set = make_data_set(
        instance,
        series_instance_uid=series,
        study_instance_uid=study,
        pixels=_pixels(number, pixels),
        more=((0x0028, 0x0010, b"US", rows), (0x0028, 0x0011, b"US", rows)),
    )
    content = bytearray(association.encode_message(1, encode_store_request(CT_IMAGE, instance, 1), data_set))
    return Message(content, _find(content, instance), _find(content, series) + _find(content, study))


def _pixels(number: int, pixels: int) -> bytes:
    return np.random.default_rng(number).integers(0, 2000, pixels * pixels, np.int16).tobytes()


def _find(content: bytearray, uid: str) -> list[int]:
    """Where the digits of a UID begin, wherever it stands."""
    found, at = [], content.find(uid.encode())
    while at >= 0:
        found.append(at + len(uid) - _DIGITS)
        at = content.find(uid.encode(), at + 1)
    return found


def send(port: int, *, called: str, associations: int, images: int, pixels: int, distinct: int, series: int) -> dict[str, object]:
    """Images per second, from the moment when all associations are open to the last response; and what was not a success."""
    open_associations = [
        RawAssociation(port, [(CT_IMAGE, [EXPLICIT_LITTLE])], called=called, pdu_bytes=131_072) for _ in range(associations)
    ]
    for association in open_associations:
        (largest,) = struct.unpack(">I", association.items[0x51])
        association.pdu_bytes = min(131_072, largest or 131_072)
    messages = [
        [make_message(one, number * associations + k, pixels) for number in range(max(1, distinct // associations))]
        for k, one in enumerate(open_associations)
    ]
    barrier = threading.Barrier(associations + 1)
    ends, times, failed = [0.0] * associations, list[float](), list[int]()

    def work(k: int) -> None:
        association = open_associations[k]
        barrier.wait()
        for number in range(k, images, associations):
            message = messages[k][number // associations % len(messages[k])]
            message.stamp(series * 100_000 % 90_000_000 + number, series)
            begin = time.perf_counter()
            association.connection.sendall(message.content)
            status = association.read_answer().status
            ends[k] = time.perf_counter()
            times.append(ends[k] - begin)
            if status:
                failed.append(status)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(associations)]
    for thread in threads:
        thread.start()
    barrier.wait()
    begin = time.perf_counter()
    for thread in threads:
        thread.join()
    for association in open_associations:
        association.release()
    times.sort()
    return {
        "images_per_s": images / (max(ends) - begin),
        "median_ms": 1e3 * times[len(times) // 2],
        "failed": failed[:5],
        "count": len(times),
        "digests": [hashlib.sha256(_pixels(number, pixels)).hexdigest() for number in range(associations * len(messages[0]))],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--called", default="NODE")
    parser.add_argument("--associations", type=int, default=1)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--pixels", type=int, default=512)
    parser.add_argument("--distinct", type=int, default=60)
    parser.add_argument("--series", type=int, default=1)
    options = parser.parse_args()
    print(json.dumps(send(**vars(options))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
