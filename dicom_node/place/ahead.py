"""Several questions at once, answers in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def map_ahead(function: Callable[[Item], Answer], items: Iterable[Item], readers: int) -> Iterator[Answer]:
    """The function of each item, in the items' order; `readers` are asked at once, and few items are taken before they are due."""
    if readers == 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(readers) as pool:
        waiting: deque[Future[Answer]] = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 2 * readers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
