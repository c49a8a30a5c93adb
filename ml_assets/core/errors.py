"""Every error that a user can see.

Each says what failed, what was found, what was expected and what to do. Each is also a
standard-library type, so `except ValueError` keeps working, and survives pickling (Dagster
passes errors between processes).
"""

import difflib
from collections.abc import Iterable
from datetime import timedelta


class MlAssetsError(Exception):
    """Base of all errors that this project raises on purpose."""


class DeclarationError(MlAssetsError, ValueError):
    """A system's declaration is wrong. The message names the field."""


class UnknownName(MlAssetsError, LookupError):
    """Nothing has the requested name."""


class FetchError(MlAssetsError, OSError):
    """A data set could not be downloaded, or is not the pinned one."""


class Quarantined(MlAssetsError, ValueError):
    """A record cannot become an event. The message is stored with it as the reason."""


class InvalidRequest(MlAssetsError, ValueError):
    """A request to the API is well-formed JSON but asks for something impossible.

    code: which kind of fault it is, for programs
    """

    code = "invalid_request"


class ContractViolation(MlAssetsError, ValueError):
    """A table breaks its data contract. The message names column, value and rule."""


class LogUnavailable(MlAssetsError, OSError):
    """The event log cannot be written, so nothing may be answered."""


class LogBusy(LogUnavailable):
    """Another process has been writing the event log for longer than the caller would wait."""


class StoreHeld(LogUnavailable, TimeoutError):
    """Another process has been writing the online store for longer than the caller would wait."""


class StateDamaged(LogUnavailable):
    """A file of the installation is damaged, missing, foreign or in a newer format.

    The message names the file and says what to do about it.
    """


class ObjectsUnavailable(LogUnavailable):
    """Object storage cannot be reached, or refuses what is asked of it."""


class InstallationRefused(MlAssetsError, ValueError):
    """A folder cannot be an installation. The message says why and what to do."""


class TooOften(MlAssetsError, RuntimeError):
    """A caller has exceeded a declared limit. `retry_after` says how long to wait.

    Its arguments are (message, retry_after) so that it survives pickling.
    """

    def __init__(self, message: str, retry_after: timedelta = timedelta(seconds=1)) -> None:
        super().__init__(message, retry_after)
        self.retry_after = retry_after

    def __str__(self) -> str:
        return str(self.args[0])


class Overloaded(MlAssetsError, RuntimeError):
    """There are more requests than can be answered now. Nothing was done; see `retry_after`."""

    def __init__(self, message: str, retry_after: timedelta = timedelta(seconds=1)) -> None:
        super().__init__(message, retry_after)
        self.retry_after = retry_after

    def __str__(self) -> str:
        return str(self.args[0])


class ModelRefused(MlAssetsError, RuntimeError):
    """A stored model failed to load, or does not reproduce its stored example."""


class TrainingFailed(MlAssetsError, ArithmeticError):
    """A training came to no weights worth keeping. The message says what to declare otherwise."""


class RolloutRefused(MlAssetsError, ValueError):
    """A rollout change that contradicts the current state, which the message names."""


class WorkersLost(MlAssetsError, ConnectionError):
    """A cluster cannot be reached, or has lost every worker that began a piece of work."""


class NotReady(MlAssetsError, RuntimeError):
    """An earlier step of the loop has not run yet. The message says which one."""


class NotReproducible(MlAssetsError, RuntimeError):
    """Something recorded comes out differently now. The message says what differs."""


def unknown(kind: str, name: str, known: Iterable[str], hint: str = "") -> UnknownName:
    """An `UnknownName` that offers the closest known names."""
    options = sorted(known)
    closest = difflib.get_close_matches(name, options, n=3, cutoff=0.4)
    if closest:
        offer = f"Closest: {', '.join(closest)}."
    else:
        offer = f"Known: {', '.join(options) or 'none'}."
    return UnknownName(f"there is no {kind} {name!r}. {offer}{' ' + hint if hint else ''}")
