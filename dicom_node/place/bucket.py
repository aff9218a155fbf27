"""Objects of an S3 bucket instead of files in a folder: durable when the store has answered, whole or not there.

Needs the extra `s3` (obstore), which reads credentials, region and endpoint from the environment (AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL, AWS_ALLOW_HTTP).
"""

import errno
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store

from dicom_node.errors import StoreFailed

from . import folder
from .ahead import map_ahead
from .cache import Cache

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# A sender waits for its answer meanwhile, often no longer than 30 s; what does not work in this time is refused, and sent again.
_RETRIES, _RETRY_S = 3, timedelta(seconds=10)
# One object, or part of an object, that is held in memory for each association that sends.
_PART_BYTES, _PARTS_AT_ONCE = 8 << 20, 2
_BLOCK_BYTES, _FIRST_BYTES = 1 << 20, 1 << 16
_LISTED_AT_ONCE = 1000
_NO_BUCKET = "NoSuchBucket"


class Bucket:
    """The objects under `prefix/part/` of a bucket; `work` is a folder of this machine for what is under way and for copies."""

    readers = 16  # requests at once: each waits for its answer

    def __init__(self, address: str, part: str, work: Path, cache_bytes: int) -> None:
        name, _, prefix = address.removeprefix("s3://").partition("/")
        self._part = part
        self._incoming = work / "incoming"
        self._cache = Cache(work / "cache", cache_bytes)
        self._store = S3Store(
            name,
            prefix="/".join(filter(None, (prefix.strip("/"), part))),
            retry_config={"max_retries": _RETRIES, "retry_timeout": _RETRY_S},
        )

    # -- writing -----------------------------------------------------------------------------------------------------

    def begin(self, name: str) -> tuple[Path, BinaryIO]:
        """A new part, a file of this machine, that becomes the object `name` or nothing."""
        return folder.create_part(self._incoming / self._part, Path(name).name)

    def keep(self, part: Path, file: BinaryIO, name: str, size: int) -> bool:
        """Make a part of so many bytes an object; whether it was there in that size, and stays as it is."""
        file.flush()
        was_there = False
        with store_errors():
            if size <= _PART_BYTES:
                try:
                    obstore.put(self._store, name, part, mode="create", use_multipart=False)
                except AlreadyExistsError:
                    was_there = self._size(name) == size
                    if not was_there:
                        obstore.put(self._store, name, part, use_multipart=False)
            else:
                was_there = self._size(name) == size
                if not was_there:  # many parts become one object at the end, whatever is there
                    obstore.put(self._store, name, part, use_multipart=True, chunk_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE)
        folder.drop(part, file)
        return was_there

    def write(self, name: str, content: bytes) -> None:
        """Write an object, in place of what was there."""
        with store_errors():
            obstore.put(self._store, name, content, chunk_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE)

    def ensure(self, name: str, content: bytes) -> None:
        """Write an object whose name is its content's own; again where it is there, as its time then says that it is wanted now."""
        self.write(name, content)

    def remove(self, name: str) -> None:
        """Remove an object, and this machine's copy; one that is gone already is no error."""
        with store_errors():
            obstore.delete(self._store, name)
        self._cache.remove(f"{self._part}/{name}")

    # -- reading -----------------------------------------------------------------------------------------------------

    def has(self, name: str) -> bool:
        """Whether there is such an object."""
        with store_errors():
            return self._size(name) is not None

    def read(self, name: str) -> bytes:
        """The bytes of an object. Raises FileNotFoundError."""
        with store_errors():
            return bytes(obstore.get(self._store, name).bytes())

    def open(self, name: str, size: int | None = None) -> BinaryIO:
        """An object for reading, by ranges as they are asked for; its size is asked where it is not given. Raises FileNotFoundError."""
        if size is None:
            with store_errors():
                size = obstore.head(self._store, name)["size"]
        return cast(BinaryIO, io.BufferedReader(_Ranges(self._store, name, size), _FIRST_BYTES))

    def list(self) -> Iterator[tuple[str, int]]:
        """Names and sizes of instances, in the order of arrival as the store tells it, which is by the second."""
        with store_errors():
            found = [(one["last_modified"], one["path"], one["size"]) for one in self._walk("") if one["path"].endswith(".dcm")]
        for _, name, size in sorted(found):
            yield name, size

    def find(self, under: str) -> Iterator[tuple[str, float]]:
        """Names in a folder ("" is all), and when they were written last."""
        with store_errors():
            for one in self._walk(under):
                yield one["path"], one["last_modified"].timestamp()

    def read_all(self, suffix: str) -> Iterator[bytes]:
        """The bytes of all objects whose names end so, in the names' order."""
        yield from map_ahead(self.read, sorted(name for name, _ in self.find("") if name.endswith(suffix)), self.readers)

    def has_any(self) -> bool:
        """Whether there is an object at all."""
        with store_errors():
            return next(self._walk(""), None) is not None

    def is_there(self) -> bool:
        """A bucket that is not there is an error of its own."""
        return True

    def local(self, files: Sequence[tuple[str, int | None]]) -> Path:
        """The folder of this machine under which copies of objects of these names and sizes (where known) lie; made where they are
        missing. Raises FileNotFoundError."""
        for _ in map_ahead(self._copy, files, self.readers):
            pass
        self._cache.tidy()
        return self._cache.root / self._part

    def _copy(self, file: tuple[str, int | None]) -> None:
        name, size = file
        copied = f"{self._part}/{name}"
        if not self._cache.find(copied, size):
            with store_errors():
                self._cache.put(copied, obstore.get(self._store, name).stream(min_chunk_size=_BLOCK_BYTES))

    # -- this machine's part -----------------------------------------------------------------------------------------

    def remove_leftovers(self) -> int:
        """Remove the parts that nobody writes any more; gives their number. What an upload that broke off left in the store is the
        store's to remove (a lifecycle rule)."""
        folder.make_folder(self._incoming)
        return folder.remove_leftovers(self._incoming)

    def used_percent(self) -> float:
        """How full this machine's disk is, over which every object goes, in percent."""
        folder.make_folder(self._incoming)
        return folder.used_percent(self._incoming)

    def tidy(self) -> None:
        """Remove copies that are too many or too old."""
        self._cache.tidy()

    def _size(self, name: str) -> int | None:
        try:
            return obstore.head(self._store, name)["size"]
        except FileNotFoundError:
            return None

    def _walk(self, under: str) -> Iterator["obstore.ObjectMeta"]:
        for some in obstore.list(self._store, under or None, chunk_size=_LISTED_AT_ONCE):
            yield from some


class _Ranges(io.RawIOBase):
    """An object as a file: each read asks the store for a range."""

    def __init__(self, store: S3Store, name: str, size: int) -> None:
        super().__init__()
        self._store, self._name, self._size, self._at = store, name, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readall(self) -> bytes:
        """The rest in one range; the library's own asks for small pieces."""
        rest = bytearray(max(self._size - self._at, 0))
        return bytes(rest[: self.readinto(rest)])

    def readinto(self, into: "WriteableBuffer") -> int:
        target = memoryview(into).cast("B")
        length = min(len(target), self._size - self._at)
        if length <= 0:
            return 0
        with store_errors():
            content = obstore.get_range(self._store, self._name, start=self._at, length=length)
        target[: len(content)] = memoryview(content)
        self._at += len(content)
        return len(content)


@contextmanager
def store_errors() -> Iterator[None]:
    """What the store refuses becomes StoreFailed; an object that is not there becomes FileNotFoundError, as of a file."""
    try:
        yield
    except FileNotFoundError as cause:
        if _NO_BUCKET in str(cause):
            raise StoreFailed(_NO_BUCKET) from cause  # a wrong address must not look like images that have left
        raise FileNotFoundError(errno.ENOENT, "no such object") from cause
    except BaseError as cause:
        raise StoreFailed(type(cause).__name__) from cause
