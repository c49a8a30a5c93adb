"""Which of several columns have changed.

Several columns are judged by e-BH (Wang and Ramdas, "False discovery rate control with e-values",
J. R. Stat. Soc. B 84, 2022), which holds whatever the columns have to do with each other, and with
e-processes on every day (Wang, Dandapanthula and Ramdas, "Anytime-valid FDR control with the
stopped e-BH procedure", 2025).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import numpy as np
import numpy.typing as npt


def discovered(log_e_F: Sequence[float], rate: float) -> npt.NDArray[np.bool_]:
    """(F,) which columns have changed by e-BH, with a false-discovery rate of at most `rate`.

    If nothing has changed at all, `rate` bounds the chance of any discovery.
    """
    evidence = np.array(log_e_F, dtype=np.float64)
    count = len(evidence)
    ordered = np.sort(evidence)[::-1]
    enough = np.flatnonzero(ordered >= np.log(count / (rate * np.arange(1, count + 1))))
    return np.asarray(evidence >= (ordered[enough[-1]] if len(enough) else inf), dtype=bool)
