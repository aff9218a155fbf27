"""Keeps pynetdicom's own thread of an association from taking the answers that we wait for."""

import threading

from pynetdicom.association import Association


class Checkpoint(threading.Event):
    """The place where an association's thread stops while somebody else reads its messages.

    In pynetdicom 3.0.4 that thread says that it is paused shortly before it is: a sender that looks in that moment sends, and where
    the thread is held up by the system until the answer is here, it takes the answer off the queue, drops it as unexpected, and the
    sender waits until its limit. Here `clear` returns when the thread stands still, or has ended.
    """

    def __init__(self, thread: threading.Thread) -> None:
        super().__init__()
        self._thread = thread
        self._changed = threading.Condition()
        self._is_open = True
        self._is_standing = False

    def is_set(self) -> bool:
        return self._is_open

    def set(self) -> None:
        with self._changed:
            self._is_open = True
            self._changed.notify_all()

    def clear(self) -> None:
        with self._changed:
            self._is_open = False
            if threading.current_thread() is self._thread:
                return  # it sends itself, from a handler, and takes nothing meanwhile
            while not self._is_standing and self._thread.is_alive():
                self._changed.wait(0.01)  # nobody tells of a thread's end

    def wait(self, timeout: float | None = None) -> bool:
        """Called by the association's thread, before each message that it takes."""
        with self._changed:
            if not self._is_open:
                self._is_standing = True
                self._changed.notify_all()
            self._is_standing = not self._changed.wait_for(lambda: self._is_open, timeout)
            return not self._is_standing


class GuardedAssociation(Association):
    """An association whose thread stands still when its checkpoint is closed, whatever `_is_paused` says.

    pynetdicom waits for that flag after it has closed the checkpoint; a report that is being served in a thread of its own takes the
    flag away at its end, after which nobody would set it any more.
    """

    @property
    def _is_paused(self) -> bool:
        return True

    @_is_paused.setter
    def _is_paused(self, _: bool) -> None:
        pass


def guard(association: Association) -> Association:
    """Give an association such a checkpoint, before anything is sent on it."""
    association._reactor_checkpoint = Checkpoint(association)
    association.__class__ = GuardedAssociation  # the library makes it, and has no place to say of which class
    return association
