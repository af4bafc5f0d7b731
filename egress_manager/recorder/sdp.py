"""Reading LiveKit's offers and answering them: only Opus comes in, nothing goes out.

An SDP answer for a peer that receives only is short enough to be written by hand (RFC 8829, 5.3):
every section of the offer is mirrored; audio keeps the Opus payload types and asks for NACK, the
data channel is accepted, everything else is refused with port 0.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Section:
    """One media section of an offer: its m-line's words and its attribute lines without `a=`."""

    kind: str
    protocol: str
    formats: tuple[str, ...]
    attributes: tuple[str, ...]

    def values(self, name: str) -> Iterator[str]:
        """What stands behind `name:` in the attributes."""
        start = name + ":"
        return (line[len(start) :] for line in self.attributes if line.startswith(start))

    def value(self, name: str, default: str = "") -> str:
        """The first of `values`, or the default."""
        return next(self.values(name), default)

    def opus(self) -> tuple[str, ...]:
        """The payload types that are Opus."""
        maps = (value.split(" ", 1) for value in self.values("rtpmap"))
        return tuple(pt for pt, codec in maps if codec.lower().startswith("opus/"))


@dataclass(frozen=True, slots=True)
class Offer:
    """An offer: its sections, and what holds for all of them."""

    sections: tuple[Section, ...]
    session: tuple[str, ...] = field(default=())

    def value(self, name: str) -> str:
        """An attribute of the session, or of the first section that has it."""
        start = name + ":"
        for line in self.session:
            if line.startswith(start):
                return line[len(start) :]
        return next((v for s in self.sections for v in s.values(name)), "")

    def owners(self) -> Mapping[int, tuple[str, str]]:
        """SSRC -> (participant sid, track sid), from the `ssrc:… msid:…` lines.

        LiveKit writes the stream as `PA_…|…`, the track as its sid.
        """
        found: dict[int, tuple[str, str]] = {}
        for section in self.sections:
            for value in section.values("ssrc"):
                ssrc, _, rest = value.partition(" ")
                name, _, msid = rest.partition(":")
                if name == "msid":
                    stream, _, track = msid.partition(" ")
                    found[int(ssrc)] = (stream.split("|")[0], track)
        return found


@dataclass(frozen=True, slots=True)
class Local:
    """What we say of ourselves: ICE credentials, candidates (`candidate:…` values), fingerprint."""

    ufrag: str
    password: str
    fingerprint: str
    candidates: Sequence[str]
    sctp_port: int = 5000


def read_offer(text: str) -> Offer:
    """The offer's sections, in order."""
    lines = [line.rstrip("\r") for line in text.split("\n")]
    starts = [i for i, line in enumerate(lines) if line.startswith("m=")] + [len(lines)]
    sections = []
    for begin, end in itertools.pairwise(starts):
        kind, _, protocol, *formats = lines[begin][2:].split()
        sections.append(Section(kind, protocol, tuple(formats), _attributes(lines[begin:end])))
    return Offer(tuple(sections), _attributes(lines[: starts[0]]))


def _attributes(lines: Sequence[str]) -> tuple[str, ...]:
    return tuple(line[2:] for line in lines if line.startswith("a="))


def write_answer(offer: Offer, local: Local) -> str:
    """The answer to an offer, CRLF lines."""
    accepted = [s.value("mid") for s in offer.sections if _is_wanted(s)]
    head = [
        "v=0",
        "o=- 1 1 IN IP4 0.0.0.0",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE " + " ".join(accepted),
        "a=msid-semantic:WMS *",
    ]
    body = [line for section in offer.sections for line in _answer_section(section, local)]
    return "\r\n".join([*head, *body]) + "\r\n"


def _is_wanted(section: Section) -> bool:
    return section.kind == "application" or (section.kind == "audio" and bool(section.opus()))


def _answer_section(section: Section, local: Local) -> list[str]:
    if not _is_wanted(section):
        refused = f"m={section.kind} 0 {section.protocol} " + " ".join(section.formats)
        return [refused, "c=IN IP4 0.0.0.0", "a=inactive", f"a=mid:{section.value('mid')}"]
    transport = [
        "c=IN IP4 0.0.0.0",
        f"a=mid:{section.value('mid')}",
        f"a=ice-ufrag:{local.ufrag}",
        f"a=ice-pwd:{local.password}",
        f"a=fingerprint:{local.fingerprint}",
        "a=setup:active",
        *(f"a=candidate:{candidate}" for candidate in local.candidates),
        "a=end-of-candidates",
    ]
    if section.kind == "application":
        first = f"m=application 9 {section.protocol} webrtc-datachannel"
        return [first, *transport, f"a=sctp-port:{local.sctp_port}"]
    return [
        f"m=audio 9 {section.protocol} " + " ".join(section.opus()),
        *transport,
        *_audio(section),
    ]


def _audio(section: Section) -> Iterator[str]:
    """Receive, with the offer's own Opus parameters, and with NACK where it is offered."""
    sends = {"sendrecv", "sendonly"} & set(section.attributes)
    yield "a=recvonly" if sends else "a=inactive"
    yield "a=rtcp-mux"
    wanted = section.opus()
    for name in ("rtpmap", "fmtp", "rtcp-fb"):
        for value in section.values(name):
            payload_type, _, rest = value.partition(" ")
            if payload_type in wanted and (name != "rtcp-fb" or rest == "nack"):
                yield f"a={name}:{value}"
