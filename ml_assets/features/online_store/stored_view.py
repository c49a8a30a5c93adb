"""One view as a store has it: what reads all of it, texts too, beside `reader` for numbers."""

from __future__ import annotations

from collections.abc import Sequence

from ml_assets.features.online_store.backend import OWN, Backend, View, floor_of, number_of

Request = tuple[int, list[bytes]]
"""For `Backend.get_many`: a view's number and keys."""


class StoredView:
    """Finds the view under the number that it has, also after it was redefined.

    All raise NotReady if the view is not in the store as it is known here.
    """

    def __init__(self, backend: Backend, view: View) -> None:
        self.view, self._backend = view, backend
        self._number: int | None = None

    def request(self, keys: Sequence[bytes]) -> Request:
        """Asks for the view's own entry and for what is kept of these keys."""
        if self._number is None:
            self._number = number_of(self._backend, self.view)
        return self._number, [OWN, *keys]

    def answer(
        self, request: Request, blobs: Sequence[bytes | None]
    ) -> tuple[bytes, Sequence[bytes | None]]:
        """The own entry and what is kept of each key, from what `request` has found.

        Read again if the view has got another number meanwhile.
        """
        if blobs[0] is None:
            self._number = None
            blobs = self._backend.get(*self.request(request[1][1:]))
        own = blobs[0]
        if own is None:
            floor_of(own, self.view.name)
        assert own is not None
        return own, blobs[1:]

    def get(self, keys: Sequence[bytes]) -> tuple[bytes, Sequence[bytes | None]]:
        """`answer` in one read."""
        request = self.request(keys)
        return self.answer(request, self._backend.get(*request))
