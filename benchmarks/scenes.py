"""Who says what in the calls that are measured."""

from collections.abc import Iterator

from lab.plans import Line, Part

#: Seconds that somebody speaks before it is the other's turn, and how much of it is speech.
TURN, SPEECH = 4.0, 3.6
#: From the phone's joining to the first words. Seconds.
GREETING = 2.0
#: The agent leaves so long after the phone. Seconds.
BYE = 0.5
#: How many different turns a voice has: they are made before anybody joins, which takes time.
_SEEDS = 4


def number(call: int) -> str:
    """The number of the phone of call number `call`."""
    return f"+15550{call:06}"


def identity(call: int) -> str:
    """The identity of that phone in its room."""
    return f"sip_{number(call)}"


def dialogue(call: int, *, begins_at: float, seconds: float) -> tuple[Part, Part]:
    """A phone and an agent who speak in turn for `seconds`, in a room of their own."""
    ends_at = begins_at + GREETING + seconds
    room = f"call-{call}"
    return (
        Part(
            room=room,
            number=number(call),
            joins_at=begins_at,
            lines=tuple(_turns(begins_at + GREETING, ends_at, 0)),
            leaves_at=ends_at,
        ),
        Part(
            room=room,
            kind="agent",
            identity=f"agent-{call}",
            joins_at=begins_at + BYE,
            lines=tuple(_turns(begins_at + GREETING + TURN, ends_at, 1)),
            leaves_at=ends_at + BYE,
        ),
    )


def _turns(begins_at: float, ends_at: float, voice: int) -> Iterator[Line]:
    at, turn = begins_at, 0
    while at + TURN <= ends_at:
        yield Line(sound=f"speech:{SPEECH}:{10 * voice + turn % _SEEDS}", at=at)
        at, turn = at + 2 * TURN, turn + 1
