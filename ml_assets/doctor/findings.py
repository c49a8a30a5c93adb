"""What was found about one thing in an installation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A file, or a group of files, and its condition.

    what: its name, relative to the installation's folder; holds: in words
    trouble: what is wrong, as the end of a sentence; None if it is sound
    remedy: what to do about it, a sentence or two
    mended: whether `ml-assets doctor --mend` does that
    note: what is worth knowing about it although it is sound
    """

    what: str
    holds: str
    trouble: str | None = None
    remedy: str = ""
    mended: bool = False
    note: str = ""

    @property
    def line(self) -> str:
        """The trouble and its remedy in one line."""
        said = f"{self.what} ({self.holds}) {self.trouble}. {sentence(self.remedy)}"
        return " ".join(said.split())


def sentence(text: str) -> str:
    """`text` with its first letter capitalised."""
    return text[:1].upper() + text[1:]
