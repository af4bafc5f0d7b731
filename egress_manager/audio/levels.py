"""Levels: how loud a channel is in every 5 ms. What a file is compared by."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

#: So many levels a second.
RATE: Final = 200

#: What a level never falls below: digital silence. dBFS.
FLOOR: Final = -120.0

#: Nobody hears anything below it beside a voice, which is at -45 to -15. dBFS.
SILENCE: Final = -60.0

#: 5 ms are clipped where so many percent of them reached full scale.
TOPPED: Final = 2

#: dBFS; or, where it says so, powers: full scale is 1.
Levels = NDArray[np.float32]

#: Which part of each 5 ms reached full scale, in percent.
Tops = NDArray[np.uint8]


def dbfs(power: Levels) -> Levels:
    """The levels that belong to powers."""
    found: Levels = 10 * np.log10(np.maximum(power, np.float32(10 ** (FLOOR / 10))))
    return found


def power_of(levels: Levels) -> Levels:
    """The powers that belong to levels."""
    found: Levels = np.power(np.float32(10), levels / np.float32(10))
    return found
