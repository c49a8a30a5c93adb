"""Slates: pages of items that answer a request to rank, each item a row."""

from ml_assets.core.slates.candidates import LARGEST_LIST, Nightly, Own, Popular, Taken
from ml_assets.core.slates.ids import (
    LARGEST_SLATE,
    REQUEST_LENGTH,
    SEPARATOR,
    position_of,
    request_fault,
    request_of,
    row_id,
    split,
)
from ml_assets.core.slates.policy import LARGEST_PAGE, OF_ROWS, SlatePolicy

__all__ = [
    "LARGEST_LIST", "LARGEST_PAGE", "LARGEST_SLATE", "OF_ROWS", "REQUEST_LENGTH", "SEPARATOR",
    "Nightly", "Own", "Popular", "SlatePolicy", "Taken", "position_of", "request_fault",
    "request_of", "row_id", "split",
]
