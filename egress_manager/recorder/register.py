"""Who is there and what they publish, as the journal is told: the newest state, within a quota.

A participant can change its metadata, its name and its mutes as often as it likes. Each change is
written as long as its quota lasts; after that only the newest state is, when there is room again.
Whoever came and left in between was never there for the journal, unless a packet was kept.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

from egress_manager.domain.captures import (
    ParticipantChanged,
    ParticipantGone,
    TrackChanged,
    TrackGone,
)
from egress_manager.domain.quotas import Bucket, Quotas, clipped
from egress_manager.recorder.journal import size_of

Change = ParticipantChanged | TrackChanged
Gone = ParticipantGone | TrackGone


class Register:
    """`write` gets the entries that are to be written; `leave_out` what, whose, when, how many.

    `quotas_of` has the quotas of an identity; without one, those that strangers have together.
    """

    def __init__(
        self,
        write: Callable[[Change], None],
        leave_out: Callable[[str, str, float, int], None],
        quotas_of: Callable[[str], Quotas],
    ) -> None:
        self._write = write
        self._leave_out = leave_out
        self._known: dict[str, Change] = {}
        self._written: dict[str, Change] = {}
        self._waiting: set[str] = set()
        self._quotas: dict[str, Quotas] = {}
        self._quotas_for = quotas_of
        self._strangers = quotas_of("")

    def quotas(self, identity: str) -> Quotas:
        """What an identity may still cause, however often it comes and goes; strangers together."""
        return self._quotas.get(identity, self._strangers)

    def packets(self, participant_sid: str, track_sid: str) -> Bucket:
        """Who publishes the track may have so many decrypted; of no track of ours, strangers."""
        identity = self.identity_of(participant_sid) if track_sid in self._known else ""
        return self.quotas(identity).packets

    def knows(self, identity: str) -> bool:
        """Whether somebody of that identity is or was there."""
        return identity in self._quotas

    def identity_of(self, participant_sid: str) -> str:
        """The identity of a participant; empty for one that is not known."""
        person = self._known.get(participant_sid)
        return person.identity if isinstance(person, ParticipantChanged) else ""

    def track(self, track_sid: str) -> TrackChanged | None:
        """A track that is published now."""
        known = self._known.get(track_sid)
        return known if isinstance(known, TrackChanged) else None

    def tracks_of(self, participant_sid: str) -> list[str]:
        """The sids of the tracks that a participant publishes."""
        return [
            sid
            for sid, known in self._known.items()
            if isinstance(known, TrackChanged) and known.participant_sid == participant_sid
        ]

    def change(self, entry: Change) -> None:
        """Somebody or a track is there, or changed."""
        sid, entry = _sid(entry), self._cut(entry)
        known = self._known.get(sid)
        if not _is_news(known, entry):
            return
        if known is None and isinstance(entry, TrackChanged) and not self._may_be_new(entry):
            return
        self._known[sid] = entry
        if isinstance(entry, ParticipantChanged) and entry.identity not in self._quotas:
            self._quotas[entry.identity] = self._quotas_for(entry.identity)
        if sid in self._waiting:
            self._left_out("changes", entry, 1)
        self._waiting.add(sid)
        self.catch_up(entry.at, (sid,))

    def catch_up(self, moment: float, sids: Iterable[str] = ()) -> None:
        """Write what waits, of these or of all, as far as there is room for it."""
        for sid in sids or list(self._waiting):
            entry = self._known[sid]
            if not _is_news(self._written.get(sid), entry):
                self._waiting.discard(sid)
                continue
            quotas, of_track = self._quotas_of(entry), isinstance(entry, TrackChanged)
            if quotas.may_tell(1, moment, of_track=of_track) and quotas.may_tell(
                size_of(entry), moment, of_track=of_track
            ):
                self._put(sid, entry)

    def settle(self, sids: Iterable[str] = ()) -> None:
        """Write what waits, of these or of all, whether there is room for it or not."""
        for sid in [sid for sid in sids or list(self._waiting) if sid in self._waiting]:
            self._put(sid, self._known[sid])

    def strike(self, entry: Gone) -> bool:
        """Somebody or a track is gone; whether the journal knew of it, and has the newest state."""
        sid = entry.participant_sid if isinstance(entry, ParticipantGone) else entry.track_sid
        known, written = self._known.get(sid), self._written.pop(sid, None)
        if known is not None and sid in self._waiting:
            self._waiting.discard(sid)
            if written is not None and _is_news(written, known):
                self._put(sid, known)
            elif written is None:
                self._left_out("changes", known, 1)
        self._known.pop(sid, None)
        self._written.pop(sid, None)
        return written is not None

    def _may_be_new(self, track: TrackChanged) -> bool:
        """Whether a track is taken note of; one that still is there may be a little later."""
        if self._quotas_of(track).tracks.take(1, track.at):
            return True
        self._left_out("tracks", track, 1)
        return False

    def _put(self, sid: str, entry: Change) -> None:
        owner = entry.participant_sid
        if sid != owner and owner in self._waiting and owner not in self._written:
            self._put(owner, self._known[owner])  # a track comes after who publishes it
        self._waiting.discard(sid)
        self._written[sid] = entry
        of_track = isinstance(entry, TrackChanged)
        self._quotas_of(entry).tell(size_of(entry), of_track=of_track)
        self._write(entry)

    def _cut(self, entry: Change) -> Change:
        """The entry as far as its texts are kept."""
        cut = clipped(entry)
        if cut is not entry and _is_news(self._known.get(_sid(entry)), cut):
            self._left_out("text", entry, 1)
        return cut

    def _left_out(self, what: str, entry: Change, count: int) -> None:
        identity = self.identity_of(entry.participant_sid) or getattr(entry, "identity", "")
        self._leave_out(what, identity, entry.at, count)

    def _quotas_of(self, entry: Change) -> Quotas:
        return self.quotas(self.identity_of(entry.participant_sid))


def _sid(entry: Change) -> str:
    return entry.track_sid if isinstance(entry, TrackChanged) else entry.participant_sid


def _is_news(known: Change | None, entry: Change) -> bool:
    """Whether anything but the moment differs."""
    return known is None or replace(known, at=entry.at) != entry
