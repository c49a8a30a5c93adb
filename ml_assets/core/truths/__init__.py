"""How labels become known: the kinds of truths, one file each."""

from ml_assets.core.truths.base import Truth
from ml_assets.core.truths.choices import Choices
from ml_assets.core.truths.complaints import Complaints
from ml_assets.core.truths.outcomes import Outcomes
from ml_assets.core.truths.recorded import Recorded

__all__ = ["Choices", "Complaints", "Outcomes", "Recorded", "Truth"]
