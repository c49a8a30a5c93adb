"""How long the writers in one process wait for those in others, all together."""

from __future__ import annotations


class Patience:
    """Time to wait for another process that is writing a file: once, not once for each call.

    Calls come one after the other, so if each of them waited, a later one would wait for all
    before it as well. Once a call has waited in vain, the next ones do not wait, until one of
    them has found the file free. Whoever came while the first was waiting is so answered when
    that one is. To be shared by all that write the file, on one thread at a time.
    """

    def __init__(self, seconds: float) -> None:
        self._all_ms = int(seconds * 1000)
        self.left_ms = self._all_ms
        """How long a call may wait now."""

    def spent(self) -> None:
        """A call has waited so long, in vain."""
        self.left_ms = 0

    def renewed(self) -> None:
        """The file was free."""
        self.left_ms = self._all_ms
