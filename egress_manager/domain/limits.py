"""How much of something is too much: the limit of every fault, with its reason.

Files of our own renderer are held to what it promises (`OURS`), those of LiveKit Egress and
imported ones to what a listener needs (`OTHERS`). What is measured is told in `evidence.py`.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of something is not yet a fault. Seconds, decibels."""

    #: Beside one frame of AAC, by which a decoder may play longer.
    length: float
    #: A track's file may stand 10 ms from its place (`track_file.OFF`) and the mix 17 ms
    #: (`mixing.DOUBT`, `slew.DEAD_BAND`).
    offset: float
    #: What drifts by less over the whole call is at most so far from its place in the end.
    drifted: float
    #: A side that ought to be silent is 50 dB below the other one in all that we make.
    leak: float
    #: Shorter ones are not told anywhere (`holes.SHORTEST_HOLE`): packets may be concealed.
    hole: float
    #: Packets that were lost are concealed for up to 60 ms, by each decoder in its own way.
    foreign: float
    #: Decoders, limiters and codecs together change the level by less than 1 dB.
    level: float
    #: Only a limiter or a clipped wave takes so much from the loudest moments alone.
    bent: float


OURS: Final = Limits(
    length=0.08, offset=0.03, drifted=0.02, leak=-40.0, hole=0.1, foreign=0.2, level=3.0, bent=-1.2
)

#: LiveKit Egress places tracks by clocks that are not ours, and resamples while it catches up: a
#: listener hears neither an offset below a quarter of a second nor what that does to levels.
OTHERS: Final = Limits(
    length=1.0, offset=0.25, drifted=0.1, leak=-26.0, hole=0.3, foreign=0.5, level=6.0, bent=-6.0
)

#: The samples of a frame of AAC.
FRAME: Final = 1024

#: What a container says and what is in it differ by a frame or two. Seconds.
BREAK: Final = 0.1

#: A side whose tracks have sound for less is not judged by it: a click, a breath. Seconds.
TOO_LITTLE: Final = 0.3

#: A side that lacks this part of its sound is silent, and not one with holes.
SILENT: Final = 0.9

#: A hole this long that lasts to the last word: the party went silent for good. Seconds.
GONE: Final = 5.0

#: A channel that is like its own tracks reaches 0.95 through two codecs and lost packets; one of
#: another call stays below 0.5: the pauses of two conversations hardly ever fall together.
OWN: Final = 0.8
STRANGE: Final = 0.5

#: So much of the sound has to be the same on both sides: two who speak at once never are.
SAME: Final = 0.9

#: Full scale reached for less in all is a click that nobody hears. Seconds.
CLIPPED: Final = 0.04

#: A drift that is slower can't be told from the steps in which a track's file is put right. Parts
#: in a million.
DRIFT: Final = 40.0

#: The recorder is in the room 0.15 s after a caller; later by this, somebody may have spoken.
#: Seconds.
LATE: Final = 1.0

#: Counts of the server and ours differ by a packet or two (measured), and by a page where a hole
#: lies beside a report: so many packets, and this part of all, may be missing without a loss.
PACKETS: Final = 25
PACKETS_SHARE: Final = 0.005

#: Of what was sent inside the packets, so much is kept at least (measured: 0.997), or all but so
#: many octets: `PACKETS` of 64 kbit/s. Some are on their way when they are counted, and one second
#: of speech may be as much as ten of silence.
OCTETS_SHARE: Final = 0.95
OCTETS: Final = 4000

#: Of the packets that are looked for in a track's file this many, and this part of all, may be
#: missing: when a clock is put right, a packet gives way to silence.
UNPLAYED: Final = 5
UNPLAYED_SHARE: Final = 0.03

#: Who hangs up does not hear the last packets, which are on their way. More of them were sent ahead
#: of time. Seconds.
UNHEARD_SEC: Final = 0.3

#: Holes by their causes (`holes.CAUSES`): these are ours, all others are what the call was.
OUR_CAUSES: Final = frozenset(
    {"recorder down", "connection", "disk", "not_recorded", "piece_unreadable", "over_quota"}
)

#: Why a track may have no file without a fault: nobody sent a packet of it, or it lies where it
#: can't be opened from here.
NOTHING_SENT: Final = "no_audio"
OUT_OF_REACH: Final = "out_of_reach"
NO_FAULT: Final = frozenset({NOTHING_SENT, OUT_OF_REACH})
