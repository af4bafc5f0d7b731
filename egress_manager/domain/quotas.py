"""How much one participant may have a capture write: every limit, and the buckets that hold it.

A limit is far above what an honest publisher needs, and bounds what a hostile one can cost: files,
descriptors, bytes on the disk, and time of the process that captures other rooms as well. What is
over a limit is counted and named (`captures.LeftOut`), never passed over in silence. The
same is true of what the documents of calls and recordings remember of participants.

Pure. Moments are seconds since 1970.
"""

from dataclasses import dataclass, field, replace
from typing import Final

from egress_manager.domain.captures import TICKS, ParticipantChanged, TrackChanged

#: Timestamps of a participant that leap begin a new stretch (a file) so often at once, and so often
#: a second. After that a packet is placed by when it came. An encoder that is restarted leaps once.
LEAPS: Final = 32
LEAPS_A_SECOND: Final = 0.1
#: Stretches of a participant in all: of each track, each SSRC and each connection of ours one.
STRETCHES: Final = 128
STRETCHES_A_SECOND: Final = 0.5
#: Stretches of a participant that are open at once. Two connections may bring one track.
OPEN_STRETCHES: Final = 32
#: Tracks of a participant that are taken note of: each may become a file of its own. Some clients
#: publish anew whenever somebody presses to talk.
TRACKS: Final = 128
TRACKS_A_SECOND: Final = 0.5
#: Pages of a participant that end early, at a gap of its timestamps. A track of 20 ms packets that
#: loses every second one has 25 a second.
SHORT_PAGES: Final = 1000
SHORT_PAGES_A_SECOND: Final = 50.0
#: Tracks of a participant that may sound without a pause, for ever.
CONTINUOUS: Final = 32
#: Sound of a participant. Ticks: of so many tracks at once, and a minute of each ahead of time.
SOUND_A_SECOND: Final = CONTINUOUS * TICKS
SOUND: Final = 60 * SOUND_A_SECOND
#: Octets of it: four of the tracks have the most that Opus has (510 kbit/s), the others 64 kbit/s.
OCTETS_A_SECOND: Final = 4 * 63_750 + (CONTINUOUS - 4) * 8000
OCTETS: Final = 60 * OCTETS_A_SECOND
#: Journal lines on who is there and what they publish. Bytes. Text of LiveKit's own limits fits.
NEWS_BYTES: Final = 256 * 1024
NEWS_BYTES_A_SECOND: Final = 2048
#: Of these lines those on tracks, of which mutes are most: each may be the edge of a hole. Who
#: presses to talk mutes once in some seconds.
TRACK_CHANGES: Final = 600
TRACK_CHANGES_A_SECOND: Final = 0.25
#: Keys of the phone. Nobody presses faster for long.
DIGITS: Final = 200
DIGITS_A_SECOND: Final = 5.0
#: Packets of one stream that may be taken for lost: ten seconds of the shortest ones (2.5 ms).
LOSSES_A_SECOND: Final = 400.0
LOSSES: Final = 4000

#: Packets of a participant that are decrypted, of all its tracks together. Of so many continuous
#: tracks 1600 come a second; of one the shortest are 400. A network that was held up for some
#: seconds lets go of all of them at once.
PACKETS_A_SECOND: Final = 4000.0
PACKETS: Final = 48_000
#: Numbers of one stream that are asked for again: of 20 % loss 70 a second.
ASKS_A_SECOND: Final = 500.0
ASKS: Final = 1000
#: Datagrams of data messages that are read of one connection; each takes as long as ten packets.
#: SCTP sends again what was not read, and slows down; but no lossy message.
DATAGRAMS_A_SECOND: Final = 400.0
DATAGRAMS: Final = 2000

#: How often we connect anew because a stream of a participant fell silent: who sends one packet now
#: and then would have every track of the room begin another file.
DEAF_A_SECOND: Final = 1 / 60
DEAF: Final = 3

#: Metadata, and attributes together, are cut here; names here. Characters. LiveKit allows 64,000
#: bytes and 256 unless it is told otherwise.
TEXT: Final = 65_536
NAME: Final = 256

#: Tracks that the document of a call, or of a recording by hand, remembers: of one participant, and
#: in all. Each takes 200 bytes of a document that is read and written with all news of the call.
TRACKS_OF_ONE: Final = 250
TRACKS_OF_CALL: Final = 1000
#: Those that it does not remember are counted so far, and then no more: counting is writing.
COUNTED: Final = 1000
#: Stays of a caller that a call remembers: of who hangs up and calls again with the same call id.
STAYS_OF_CALL: Final = 100
#: Entries of a recording's history: the first and the newest of them are kept.
EVENTS: Final = 300

#: So many participants' quotas are remembered while they are not whole again.
REMEMBERED: Final = 4096

#: The keys of a phone (RFC 4733, section 3.2), at the place of their event codes.
KEYS: Final = "0123456789*#ABCD"


@dataclass(slots=True)
class Bucket:
    """A token bucket: `rate` come in a second, up to `burst`. What is forced leaves a debt."""

    rate: float
    burst: float
    _tokens: float = field(init=False)
    _at: float = 0.0

    def __post_init__(self) -> None:
        self._tokens = self.burst

    def has(self, amount: float, at: float) -> bool:
        """Whether so much may be spent. More than the burst may, when the bucket is full."""
        if at > self._at:
            self._tokens = min(self.burst, self._tokens + (at - self._at) * self.rate)
            self._at = at
        return self._tokens >= min(amount, self.burst)

    def spend(self, amount: float) -> None:
        """Spend it, whether it is there or not."""
        self._tokens -= amount

    def take(self, amount: float, at: float) -> bool:
        """Spend it if it is there; whether it was. Of each packet this is asked three times."""
        if at > self._at:
            self._tokens = min(self.burst, self._tokens + (at - self._at) * self.rate)
            self._at = at
        if self._tokens < amount and self._tokens < self.burst:
            return False
        self._tokens -= amount
        return True


def packets() -> Bucket:
    """The packets of one participant that may be decrypted."""
    return Bucket(PACKETS_A_SECOND, PACKETS)


class Quotas:
    """What one participant may still cause."""

    def __init__(self) -> None:
        self.leaps = Bucket(LEAPS_A_SECOND, LEAPS)
        self.stretches = Bucket(STRETCHES_A_SECOND, STRETCHES)
        self.tracks = Bucket(TRACKS_A_SECOND, TRACKS)
        self.short_pages = Bucket(SHORT_PAGES_A_SECOND, SHORT_PAGES)
        self.sound = Bucket(SOUND_A_SECOND, SOUND)
        self.octets = Bucket(OCTETS_A_SECOND, OCTETS)
        self.news = Bucket(NEWS_BYTES_A_SECOND, NEWS_BYTES)
        self.track_changes = Bucket(TRACK_CHANGES_A_SECOND, TRACK_CHANGES)
        self.digits = Bucket(DIGITS_A_SECOND, DIGITS)
        self.packets = packets()
        self.deaf = Bucket(DEAF_A_SECOND, DEAF)
        self.open_stretches = 0

    def may_tell(self, octets: int, at: float, *, of_track: bool) -> bool:
        """Whether a line on somebody, or on a track of theirs, may be written."""
        return self.news.has(octets, at) and (not of_track or self.track_changes.has(1, at))

    def tell(self, octets: int, *, of_track: bool) -> None:
        """It is written, whether it may be or not."""
        self.news.spend(octets)
        self.track_changes.spend(of_track)

    def may_leap(self, at: float) -> bool:
        """Whether a timestamp that leaps may begin a stretch; then one less may."""
        return self.stretches.has(1, at) and self.leaps.take(1, at)

    def may_open(self, at: float) -> bool:
        """Whether another stretch may be opened; then one less may."""
        return self.open_stretches < OPEN_STRETCHES and self.stretches.take(1, at)

    def may_keep(self, ticks: int, octets: int, at: float) -> bool:
        """Whether a packet may be kept; then so much less may."""
        return self.sound.take(ticks, at) and self.octets.take(octets, at)

    def are_whole(self, at: float) -> bool:
        """Whether they are as good as new."""
        buckets = (each for each in vars(self).values() if isinstance(each, Bucket))
        return all(each.has(each.burst, at) for each in buckets)


class Shelf:
    """The quotas of participants by room and identity, from one capture to the next.

    Else who leaves and joins again would have new ones. Those that are whole again are forgotten,
    and of too many those that were asked for least recently.
    """

    def __init__(self, most: int = REMEMBERED) -> None:
        self._most = most
        self._quotas: dict[tuple[str, str], Quotas] = {}

    def __len__(self) -> int:
        return len(self._quotas)

    def of(self, room_name: str, identity: str, at: float) -> Quotas:
        """What an identity may still cause in a room; without identity, all strangers in it."""
        key = room_name, identity
        quotas = self._quotas.pop(key, None)
        if quotas is None and len(self) >= self._most:
            self._forget(at)
        kept = self._quotas[key] = quotas or Quotas()
        return kept

    def _forget(self, at: float) -> None:
        self._quotas = {key: one for key, one in self._quotas.items() if not one.are_whole(at)}
        too_many = max(0, len(self) - self._most // 2)
        for key in list(self._quotas)[:too_many]:
            del self._quotas[key]


def key_of(digit: str, code: int) -> str:
    """The key of a phone that a DTMF message means; empty if it is none."""
    if len(digit) == 1 and digit.upper() in KEYS:
        return digit.upper()
    return KEYS[code] if not digit and 0 <= code < len(KEYS) else ""


def clipped(entry: ParticipantChanged | TrackChanged) -> ParticipantChanged | TrackChanged:
    """The entry, with each text in it cut to what is kept; the same one if nothing is cut."""
    if isinstance(entry, TrackChanged):
        if max(len(entry.name), len(entry.mime)) <= NAME:
            return entry
        return replace(entry, name=entry.name[:NAME], mime=entry.mime[:NAME])
    of_attributes = sum(map(len, (*entry.attributes, *entry.attributes.values())))
    if len(entry.name) <= NAME and max(len(entry.metadata), of_attributes) <= TEXT:
        return entry
    attributes, room = {}, TEXT
    for name, value in entry.attributes.items():
        room -= len(name) + len(value)
        if room < 0:
            break
        attributes[name] = value
    return replace(
        entry,
        name=entry.name[:NAME],
        metadata=entry.metadata[:TEXT],
        attributes=attributes,
    )
