"""How much of a sound is somebody speaking, by a small neural network (earshot).

It is asked about a sample only, the loudest moment of every block: what is loud is known of all,
and whether it is a voice does not change from one second to the next.
"""

from typing import Final

import earshot
import numpy as np
from numpy.typing import NDArray

#: What earshot listens to: frames of 256 samples at 16 kHz, 16 ms. It says how sure it is of a
#: voice, 0 to 1; its makers take half for yes.
RATE: Final = 16_000
FRAME: Final = 256
SURE: Final = 0.5

#: What one sample has: so many frames to get used to the sound, and so many that count. Together
#: half a second, which costs 70 ms of CPU for an hour of a channel.
WARM_UP: Final = 7
COUNTED: Final = 24
SECONDS: Final = (WARM_UP + COUNTED) * FRAME / RATE

#: Quiet voices are brought to the loudness of speech first (0.05 is -26 dBFS), for earshot takes
#: what is very quiet for noise.
_USUAL: Final = 0.05


class Voice:
    """Listens to one channel, one sample after another."""

    def __init__(self) -> None:
        self._detector = earshot.Detector()

    def share(self, sound: NDArray[np.float32], rate: int) -> float:
        """Which part of a sound of `SECONDS` is a voice, 0 to 1. Its rate is given in Hz."""
        narrow = _narrowed(sound, rate)
        narrow *= np.float32(_USUAL / max(float(np.sqrt(np.mean(narrow**2))), 1e-9))
        np.clip(narrow, -1, 1, out=narrow)
        frames = narrow[: len(narrow) // FRAME * FRAME].reshape(-1, FRAME)
        found = [self._detector.predict_f32(frame) for frame in frames]
        return float(np.mean(np.array(found[WARM_UP:]) >= SURE)) if len(found) > WARM_UP else 0.0


def _narrowed(sound: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """The sound at 16 kHz. Samples are summed, not filtered: above 8 kHz there is little."""
    if rate % RATE:
        moments = np.arange(int(len(sound) * RATE / rate)) * (rate / RATE)
        found: NDArray[np.float32] = np.interp(moments, np.arange(len(sound)), sound).astype("f4")
        return found
    step = rate // RATE
    count = len(sound) // step
    narrowed: NDArray[np.float32] = sound[: count * step : step].copy()
    for n in range(1, step):
        narrowed += sound[n : count * step : step]
    return narrowed
