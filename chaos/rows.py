"""What a user is told of faults: the lines of the README's table that are not of one process."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the README's table: what happens, and what a user sees then."""

    what: str
    then: str


CUT: Final = Row(
    "The network between Egress Manager and livekit-server is cut for 1, 5 or 30 s",
    "Up to about a second nothing is missing; of more there is a hole `connection`, and the same "
    "recording goes on when the network is back.",
)
LOSS: Final = Row(
    "1, 5 or 20 % of the packets to the recorder are lost",
    "They are asked for again, and nearly all come; what never does is counted as `loss`.",
)
OVERTAKEN: Final = Row(
    "Packets overtake each other, or come twice",
    "Nothing: they are put in order, and the second is dropped.",
)
DISK_ILL: Final = Row(
    "The disk is full, or can't be written",
    "`/health` says so at once. Sound waits in memory, and is written when there is room again; "
    "files that could not be made are made then.",
)
DISK_SLOW: Final = Row(
    "The disk stands still again and again",
    "The recorder waits for it, and what comes meanwhile is kept as far as the kernel's buffers "
    "go; beyond them it is a hole `loss`. Files are finished later.",
)
CLOCK_STEPS: Final = Row(
    "The clock of Egress Manager's host steps an hour ahead or back",
    "Recordings keep the clock that they began with. LiveKit and we refuse each other's tokens "
    "until the clock is right, so calls that come meanwhile are recorded from then on.",
)
WEBHOOKS_ILL: Final = Row(
    "Webhooks are lost, come twice, late, or in another order",
    "Lost or late ones cost the first seconds of a call, until polling finds it; doubled and "
    "mixed up ones nothing.",
)
HOSTILE_CLIENTS: Final = Row(
    "Clients without a key send bodies in chunks of one byte, connections that say nothing, bodies "
    "and headers without an end, guesses of keys and forged webhooks, all at once",
    "Nothing is lost. Those clients wait for their answers, and `/health` counts what was turned "
    "away.",
)
LISTS_LOST: Final = Row(
    "LiveKit's Redis is flushed, evicts its keys (all, or the room list alone), is restarted "
    "without its data, or fails over to an empty replica",
    "Nothing: LiveKit lists no room or nobody in it, maybe until the call is over, and the "
    "recorder, which is in the room, hears that all are there. `/health` counts such lists.",
)
HOSTILE: Final = Row(
    "A participant floods: packets that leap in number and time, keys, names and metadata",
    "Nothing, for other calls. Its own recording keeps it within a quota, and names what is over.",
)
