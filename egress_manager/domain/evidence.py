"""What a verdict on a recording is made of: what is claimed, what was heard, what others saw.

A *claim* is what the recording's document says of its files. *Evidence* is what came of listening
to them, beside what does not come from the recorder's own journal: the packets that senders report
to have sent, and the tracks that the server lists. Nothing here is judged yet: see `proof.py`.

Pure. Times are seconds since the mix's beginning, levels dBFS (root mean square).
"""

from dataclasses import dataclass
from typing import Final

from egress_manager.domain.recordings import Hole

SIDES: Final = ("left", "right")

#: The side of a track that is heard on both.
BOTH: Final = "both"


@dataclass(frozen=True, slots=True)
class TrackClaim:
    """One track's file, or the named reason why there is none.

    `side` is a channel of the mix, `both`, or empty where it is not known. `begins_sec`
    is where the file's first sample belongs in the mix: 0 for ours, which span the whole call;
    those of LiveKit Egress begin when they began. `is_partial`: it is known to lack some of the
    track, so that the mix may have more.
    """

    track_sid: str
    side: str
    path: str | None = None
    reason: str = ""
    begins_sec: float = 0.0
    duration_sec: float | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    holes: tuple[Hole, ...] = ()
    is_partial: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """What a recording's document says of its files. What is None is not known.

    `is_ours` says that our renderer made the files: they are held to what it promises, those of
    others (LiveKit Egress, imported ones) to what a listener needs. `has_two_sides`: left and right
    ought to differ. `holes` are those of the whole, where tracks do not tell of them. `captures`
    are the directories of the captures that it was made of, `begins_at` and `ends_at` the call's
    moments in them, seconds since 1970: their journals have what senders reported.
    """

    path: str
    is_ours: bool = True
    format: str | None = None
    sample_rate: int | None = None
    duration_sec: float | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    tracks: tuple[TrackClaim, ...] = ()
    has_two_sides: bool = True
    holes: tuple[Hole, ...] = ()
    captures: tuple[str, ...] = ()
    begins_at: float | None = None
    ends_at: float | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """A span of time, and how much of something there is in it."""

    start_sec: float
    end_sec: float
    amount: float = 0.0

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end_sec - self.start_sec


@dataclass(frozen=True, slots=True)
class Sound:
    """What is on one channel.

    `active_sec` is how long it is louder than silence, `level_dbfs` how loud it is then (None where
    it never is), `noise_dbfs` what is under it. `speech_sec` is how much of it is speech, as far as
    a sample of it tells; `clipped_sec`, for how long the tops of the wave have reached full scale.
    """

    active_sec: float = 0.0
    level_dbfs: float | None = None
    noise_dbfs: float | None = None
    speech_sec: float = 0.0
    clipped_sec: float = 0.0


@dataclass(frozen=True, slots=True)
class Heard:
    """One file, decoded from its beginning to its end.

    `problem` is why it could not be: `missing`, `empty`, `unreadable`, or nothing. `said_sec` is
    how long its container says it lasts, `decoded_sec` how much sound came out; `errors` are the
    packets that could not be decoded, `jumps` the places at which time stamps leave something out.
    `is_folded`: its packets are stereo under a head that says mono, as which players play it.
    """

    problem: str = ""
    size_bytes: int = 0
    sha256: str = ""
    format: str = ""
    codec: str = ""
    sample_rate: int = 0
    is_fast_start: bool | None = None
    has_end: bool | None = None
    said_sec: float = 0.0
    decoded_sec: float = 0.0
    errors: int = 0
    jumps: tuple[Span, ...] = ()
    channels: tuple[Sound, ...] = ()
    is_folded: bool = False


@dataclass(frozen=True, slots=True)
class Lag:
    """A window of a track that was looked for in the mix.

    It belongs at `at_sec`, is found `lag_sec` later, and is so much alike there: -1 to 1. `pace`:
    so many times as fast as it should be it is most alike.
    """

    at_sec: float
    lag_sec: float
    likeness: float
    pace: float = 1.0


@dataclass(frozen=True, slots=True)
class TrackEvidence:
    """What was heard of one track's file, and where it is found in the mix.

    `lags` are from windows over all of it, `first_lags` from closer ones of its beginning.
    """

    track_sid: str
    side: str
    heard: Heard
    lags: tuple[Lag, ...] = ()
    first_lags: tuple[Lag, ...] = ()


@dataclass(frozen=True, slots=True)
class SideEvidence:
    """One channel of the mix beside what its tracks have at the same time.

    `expected_sec`: for how long they have sound; `last_sec`: until when. `likeness` and `crossed`:
    how alike this channel, and the other one, is to them (-1 to 1; None where they have too little
    that changes). `level_db`: how much louder the channel is; `bent_db`: how much more so in its
    loudest moments. `missing`: they have sound, the channel has not, in `missing_share` of it in
    all; `foreign`: the other way round; `clipped`: it has reached full scale where they have not,
    for so many seconds. `leaks`: where the other channel is heard, and how loud in dB of it.
    `is_whole`: all tracks of the side could be heard, so that nothing else ought to be on it.
    """

    side: str
    expected_sec: float = 0.0
    last_sec: float = 0.0
    likeness: float | None = None
    crossed: float | None = None
    level_db: float | None = None
    bent_db: float | None = None
    missing_share: float = 0.0
    missing: tuple[Span, ...] = ()
    foreign: tuple[Span, ...] = ()
    clipped: tuple[Span, ...] = ()
    leaks: tuple[Span, ...] = ()
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class Sent:
    """What a track's sender reported to have sent to us, and what was kept of it.

    It is the journal's other witness: the reports come from the server, with its own counts.
    """

    track_sid: str
    start_sec: float
    end_sec: float
    packets_sent: int
    packets_kept: int
    octets_sent: int
    octets_kept: int

    @property
    def packets_missing(self) -> int:
        """How many of them were not kept."""
        return self.packets_sent - self.packets_kept

    @property
    def octets_missing(self) -> int:
        """How much of what was in them was not kept."""
        return self.octets_sent - self.octets_kept


@dataclass(frozen=True, slots=True)
class Playout:
    """When a track's file plays what was captured of it, beside when it came.

    `misplaced_sec`: at `at_sec` a word is played so much before its first packet came (negative),
    or after it. Of `packets` that were looked for in the file `missing` are not there.
    `unheard_sec` of sound had come ahead of time when the call ended, and nobody could hear it.
    """

    track_sid: str
    at_sec: float = 0.0
    misplaced_sec: float = 0.0
    packets: int = 0
    missing: int = 0
    unheard_sec: float = 0.0


@dataclass(frozen=True, slots=True)
class Excess:
    """What of a participant, or of one of its tracks, was over a quota (see `captures.LeftOut`)."""

    what: str
    identity: str
    track_sid: str
    start_sec: float
    end_sec: float
    count: int


@dataclass(frozen=True, slots=True)
class Listed:
    """An audio track that the server listed during the call, and whether as encrypted."""

    track_sid: str
    participant_identity: str = ""
    is_encrypted: bool = False


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known of a recording when its verdict is due.

    `same_share`: in which part of its sound both channels of the mix are the same. `first_sec` and
    `last_sec`: where its sound begins and ends. `tempo_likeness`: how alike mix and tracks are once
    a mix that is too long or too short is played at the speed that makes it fit. `listed` is None
    where nobody asked the server.
    """

    claim: Claim
    mix: Heard
    tracks: tuple[TrackEvidence, ...] = ()
    sides: tuple[SideEvidence, ...] = ()
    same_share: float = 0.0
    first_sec: float | None = None
    last_sec: float | None = None
    tempo_likeness: float | None = None
    sent: tuple[Sent, ...] = ()
    playouts: tuple[Playout, ...] = ()
    excesses: tuple[Excess, ...] = ()
    listed: tuple[Listed, ...] | None = None
