"""What a stage is to play: who joins which room when, and says what. Plain data, kept as JSON.

All times are seconds after the play began.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from lab.sounds import PCM, beeps, chirp, load_sentence, silence, speech, tone


@dataclass(frozen=True, slots=True)
class Address:
    """A livekit-server (or what stands before it), its key, and where telephones call."""

    url: str
    api_key: str
    api_secret: str
    sip_port: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """Something to say: at a time, else `pause` seconds after the line before (or the answer).

    `sound` is one of `chirp:SECONDS`, `beeps:SECONDS`, `speech:SECONDS:SEED`,
    `tone:SECONDS:HERTZ`, `silence:SECONDS`, `sentence:NAME`; `mute:SECONDS` is none: the track is
    muted for so long.
    """

    sound: str
    at: float | None = None
    pause: float = 0.0

    @property
    def is_mute(self) -> bool:
        """Whether nothing is said, but the track is muted."""
        return self.sound.startswith("mute:")


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One participant's part.

    A phone is told by its `number`, the others by their `identity`. A phone speaks once it is
    answered: when it hears a voice, `at_once`, `never`, or at the time `answers_at`.
    Without `leaves_at` it leaves after its last line.
    """

    room: str
    kind: Literal["phone", "agent", "browser"] = "phone"
    number: str = ""
    identity: str = ""
    call_id: str | None = None
    joins_at: float = 0.0
    answer: Literal["on_voice", "at_once", "never"] = "on_voice"
    answers_at: float | None = None
    lines: tuple[Line, ...] = ()
    leaves_at: float | None = None
    publishes: bool = True
    listens: bool = False
    dtx: bool = False
    red: bool = False
    key: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def who(self) -> str:
        """Its identity in the room."""
        return self.identity or f"sip_{self.number}"

    @property
    def is_plain(self) -> bool:
        """Whether a telephone can play it: it has nothing that only a participant can have."""
        if any(line.is_mute for line in self.lines):
            return False
        plain = Part(
            room=self.room,
            number=self.number,
            joins_at=self.joins_at,
            lines=self.lines,
            leaves_at=self.leaves_at,
        )
        return self == plain


@dataclass(frozen=True, slots=True)
class Plan:
    """A play: where, and everybody's part."""

    address: Address
    parts: tuple[Part, ...]

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        """The inverse of `to_json`; unknown names are refused."""
        data = json.loads(text)
        return cls(Address(**data["address"]), tuple(_part(**part) for part in data["parts"]))


def _part(lines: list[dict[str, Any]] | None = None, **rest: Any) -> Part:
    return Part(lines=tuple(Line(**line) for line in lines or []), **rest)


def sound(description: str) -> PCM:
    """The sound that a `Line` describes."""
    name, *arguments = description.split(":")
    match name, arguments:
        case "sentence", [sentence]:
            return load_sentence(sentence)
        case "chirp", [seconds]:
            return chirp(float(seconds))
        case "beeps", [seconds]:
            return beeps(float(seconds))
        case "silence" | "mute", [seconds]:
            return silence(float(seconds))
        case "tone", [seconds, hertz]:
            return tone(float(seconds), float(hertz))
        case "speech", [seconds, seed]:
            return speech(float(seconds), int(seed))
    raise ValueError(f"not a sound: {description!r}")
