"""Calls of many kinds that nothing is wrong with: what is said, over which lines, in which noise.

    made = make(scene("packet loss", seed=3), directory)      # a mix, track files, and the claim

What is heard on each track is known to the sample; packets, clocks and losses are those of
`made_up`, and the files come from the product's own renderer. So whatever is said to be wrong with
one of these calls is a false alarm.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

import av
import numpy as np

from egress_manager.audio.render import Render
from egress_manager.domain.captures import TICKS
from egress_manager.domain.evidence import Claim, TrackClaim
from egress_manager.domain.recordings import Rendered, RenderPlan
from lab import sounds
from tests.unit.audio import made_up
from tests.unit.audio.made_up import BEGINS_AT, FRAME, Line

SECONDS: Final = 24.0
#: How long a short call is.
SHORT: Final = (3.0, 6.0)

#: Where lines of a made-up telephone end. Hz.
_BAND: Final = (250.0, 3500.0)


@dataclass(frozen=True)
class Scene:
    """A call that is to be made: its lines, how long it lasts, and the format of its mix."""

    name: str
    lines: tuple[Line, ...]
    seconds: float = SECONDS
    mix_format: str = "mp4"


@dataclass(frozen=True)
class Made:
    """A finished call: its claim, with absolute paths, and what was rendered."""

    scene: Scene
    claim: Claim
    rendered: Rendered = field(repr=False)


def make(
    made_of: Scene,
    directory: Path,
    *,
    written: made_up.Script | None = None,
    more: tuple[str, ...] = (),
) -> Made:
    """Have the renderer make the call's files below a directory; of what was written, if it was.

    `more` are captures that are there already.
    """
    captured = written or made_up.capture(made_of.lines, ends_at=made_of.seconds)
    captured.write(directory / "cap_1")
    plan = RenderPlan(
        recording_id="rec_1",
        captures=("cap_1", *more),
        caller_sids=("PA_caller",),
        begins_at=BEGINS_AT,
        ends_at=BEGINS_AT + made_of.seconds,
        mix_filepath=f"mix.{made_of.mix_format}",
        track_filepath="{track_id}.ogg",
        mix_format=made_of.mix_format,
    )
    work = Render(directory, plan).finish()
    while True:
        try:
            next(work)
        except StopIteration as end:
            claim = claim_of(end.value, directory, made_of.mix_format)
            captures = tuple(str(directory / name) for name in plan.captures)
            claim = replace(claim, ends_at=plan.ends_at, captures=captures)
            return Made(made_of, claim, end.value)


def claim_of(rendered: Rendered, directory: Path, mix_format: str) -> Claim:
    """What a document says of these files, and of the capture that they were made of."""
    return Claim(
        path=str(directory / rendered.filepath),
        format=mix_format,
        sample_rate=TICKS,
        duration_sec=rendered.duration_sec,
        size_bytes=rendered.size_bytes,
        captures=(str(directory / "cap_1"),),
        begins_at=BEGINS_AT,
        tracks=tuple(
            TrackClaim(
                track_sid=track.track_sid,
                side=track.side,
                path=str(directory / track.filepath) if track.filepath else None,
                reason=track.reason,
                duration_sec=track.duration_sec,
                size_bytes=track.size_bytes,
                holes=track.holes,
            )
            for track in rendered.tracks
        ),
    )


def scene(name: str, seed: int = 1, seconds: float = SECONDS, **more: object) -> Scene:
    """A call of one kind; each seed has other words at other times, and other levels."""
    chance = random.Random(f"{name} {seed}")
    seconds = chance.uniform(*SHORT) if name == "short" else seconds
    lines = SCENES[name](chance, seconds)
    return Scene(name, tuple(lines), seconds, **more)  # type: ignore[arg-type]


def as_theirs(made: Made, directory: Path, seed: int = 1) -> Claim:
    """The same call as LiveKit Egress leaves it: not our renderer's files, and not as exact.

    The mix begins a little after the call, in another encoder's AAC; each track begins when its
    first packet came, and says so with an error of up to 0.15 s.
    """
    chance = random.Random(seed)
    mix = made_up.decoded(Path(made.claim.path))
    late = chance.uniform(0.2, 1.5)
    path = directory / "theirs.mp4"
    write(path, mix[:, round(late * TICKS) :], "aac", 96_000)
    tracks = []
    for track in made.claim.tracks:
        if track.path is None:
            continue
        sound = made_up.decoded(Path(track.path))
        begins = chance.uniform(0, 0.4)
        file = directory / f"{track.track_sid}-theirs.ogg"
        write(file, sound[:, round(begins * TICKS) :], "libopus", 32_000)
        error = chance.uniform(-0.15, 0.15)
        begins_sec = begins - late + error
        tracks.append(TrackClaim(track.track_sid, track.side, str(file), begins_sec=begins_sec))
    length = made.scene.seconds - late
    return Claim(str(path), is_ours=False, format="mp4", duration_sec=length, tracks=tuple(tracks))


def write(path: Path, sound: np.ndarray, codec: str, bits: int) -> None:
    """Encode a sound (channels, n) as anybody would."""
    options = {"movflags": "+faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=TICKS)
        layout = "mono" if len(sound) == 1 else "stereo"
        stream.layout, stream.bit_rate = layout, bits
        packed = np.ascontiguousarray(sound.T.reshape(1, -1), np.float32)
        frame = av.AudioFrame.from_ndarray(packed, "flt", layout)
        frame.sample_rate, frame.pts = TICKS, 0
        resampler = av.AudioResampler(stream.codec_context.format, layout, TICKS)
        for piece in resampler.resample(frame):
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))


# --- what is said ---------------------------------------------------------------------------------


@cache
def _sentence(name: str) -> np.ndarray:
    """A sentence of the demo, 48 kHz mono float, at half of full scale."""
    sound = sounds.load_sentence(name).astype(np.float32) / 32768
    return np.asarray(0.5 * sound / np.abs(sound).max(), np.float32)


def _said(chance: random.Random, who: str) -> np.ndarray:
    """One sentence by a voice that is a little higher or lower, faster or slower each time."""
    sound = _sentence(f"{who}-{chance.randint(1, 4)}")
    pace = chance.uniform(0.88, 1.15)
    moments = np.arange(int(len(sound) / pace)) * pace
    return np.interp(moments, np.arange(len(sound)), sound).astype(np.float32)


def talk(
    chance: random.Random,
    seconds: float,
    *,
    pause: tuple[float, float] = (0.3, 1.2),
    first: float = 0.4,
    overlap: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Caller and agent speak in turn; `overlap` is how often one begins before the other ends."""
    sides = made_up.silence(seconds), made_up.silence(seconds)
    at, n = first, chance.randint(0, 1)
    while at < seconds - 1:
        said = _said(chance, ("caller", "agent")[n]) * 10 ** (chance.uniform(-4, 0) / 20)
        put(sides[n], at, said)
        lasts = len(said) / TICKS
        at += lasts * 0.5 if chance.random() < overlap else lasts + chance.uniform(*pause)
        n = 1 - n
    return sides


def put(sound: np.ndarray, at: float, more: np.ndarray) -> None:
    """Add a sound at a time; what hangs over the end is left out."""
    place = sound[round(at * TICKS) :][: len(more)]
    place += more[: len(place)]


def noise(chance: random.Random, seconds: float, level: float) -> np.ndarray:
    """A room: noise that is weaker the higher it is, at so many dBFS."""
    rng = np.random.default_rng(chance.randint(0, 1 << 30))
    white = rng.standard_normal(round(seconds * TICKS)).astype(np.float32)
    pink = np.convolve(white, np.exp(-np.arange(48) / 8).astype(np.float32), "same")
    return (pink * 10 ** (level / 20) / np.sqrt(np.mean(pink**2))).astype(np.float32)


def music(chance: random.Random, seconds: float, level: float = -22.0) -> np.ndarray:
    """Something like music on hold: broken chords with a bass under them."""
    sound = made_up.silence(seconds)
    at, beat = 0.0, chance.uniform(0.18, 0.35)
    roots = [chance.choice((220.0, 247.0, 262.0, 294.0, 330.0)) for _ in range(4)]
    n = 0
    while at < seconds:
        root = roots[n // 8 % 4]
        note = root * (1, 1.26, 1.5, 2, 1.5, 1.26)[n % 6]
        put(sound, at, _note(note, beat * 2.5))
        if n % 4 == 0:
            put(sound, at, _note(root / 2, beat * 5))
        at, n = at + beat, n + 1
    return (sound * 10 ** (level / 20) / np.sqrt(np.mean(sound**2))).astype(np.float32)


def _note(frequency: float, seconds: float) -> np.ndarray:
    t = np.arange(round(seconds * TICKS)) / TICKS
    wave = sum(np.sin(2 * np.pi * frequency * k * t) / k**1.5 for k in (1, 2, 3, 4))
    return (wave * np.exp(-3 * t / seconds) * np.minimum(1, t / 0.005)).astype(np.float32)


def digits(chance: random.Random, count: int) -> np.ndarray:
    """DTMF: two tones a digit, 0.1 s each, loud as telephones send them."""
    sound = made_up.silence(count * 0.22)
    t = np.arange(round(0.1 * TICKS)) / TICKS
    for n in range(count):
        low, high = chance.choice((697, 770, 852, 941)), chance.choice((1209, 1336, 1477))
        tones = np.sin(2 * np.pi * low * t) + np.sin(2 * np.pi * high * t)
        put(sound, n * 0.22, (0.3 * tones * np.minimum(1, 20 * np.hanning(len(t)))))
    return sound.astype(np.float32)


def ringback(seconds: float) -> np.ndarray:
    """What a caller hears while it rings: 425 Hz, one second in five."""
    t = np.arange(round(seconds * TICKS)) / TICKS
    return (0.15 * np.sin(2 * np.pi * 425 * t) * (t % 5 < 1)).astype(np.float32)


def telephone(sound: np.ndarray) -> np.ndarray:
    """The band of a telephone."""
    spectrum = np.fft.rfft(sound)
    frequency = np.fft.rfftfreq(len(sound), 1 / TICKS)
    spectrum[(frequency < _BAND[0]) | (frequency > _BAND[1])] = 0
    return np.fft.irfft(spectrum, len(sound)).astype(np.float32)


# --- kinds of calls -------------------------------------------------------------------------------

Lines = Sequence[Line]

#: The two channels of a stereo track, and what makes them of a voice.
Pair = tuple[np.ndarray, np.ndarray]
Channels = Callable[[random.Random, np.ndarray], Pair]


def _pair(chance: random.Random, sides: Sequence[np.ndarray], **more: object) -> list[Line]:
    """A caller and an agent, each with a seed of its own."""
    return [
        Line(who, sound, seed=chance.randint(1, 1 << 20), jitter=0.01, **more)  # type: ignore[arg-type]
        for who, sound in zip(("caller", "agent"), sides, strict=True)
    ]


def _turns(chance: random.Random, seconds: float) -> Lines:
    return _pair(chance, talk(chance, seconds))


def _double_talk(chance: random.Random, seconds: float) -> Lines:
    return _pair(chance, talk(chance, seconds, overlap=0.6))


def _long_silences(chance: random.Random, seconds: float) -> Lines:
    return _pair(chance, talk(chance, seconds, pause=(4.0, 8.0), first=chance.uniform(0, 5)))


def _silent_caller(chance: random.Random, seconds: float) -> Lines:
    caller, agent = talk(chance, seconds)
    caller[:] = noise(chance, seconds, -62) if chance.random() < 0.5 else 0
    return _pair(chance, (caller, agent))


def _nobody_speaks(chance: random.Random, seconds: float) -> Lines:
    level = chance.uniform(-75, -50)
    return _pair(chance, [noise(chance, seconds, level), noise(chance, seconds, -70)])


def _on_hold(chance: random.Random, seconds: float) -> Lines:
    caller, agent = talk(chance, seconds)
    put(agent, seconds * 0.3, music(chance, seconds * 0.6))
    return _pair(chance, (caller, agent))


def _dtmf(chance: random.Random, seconds: float) -> Lines:
    caller, agent = talk(chance, seconds)
    put(caller, chance.uniform(1, seconds / 2), digits(chance, 6))
    put(caller, chance.uniform(seconds / 2, seconds - 3), digits(chance, 4))
    return _pair(chance, (caller, agent))


def _ringing(chance: random.Random, seconds: float) -> Lines:
    caller, agent = talk(chance, seconds, first=7.0)
    put(agent, 0, ringback(6.5))
    return _pair(chance, (caller, agent))


def _noisy(chance: random.Random, seconds: float) -> Lines:
    sides = talk(chance, seconds)
    return _pair(
        chance, [side + noise(chance, seconds, chance.uniform(-52, -32)) for side in sides]
    )


def _telephone(chance: random.Random, seconds: float) -> Lines:
    caller, agent = talk(chance, seconds)
    caller = telephone(caller + noise(chance, seconds, -50))
    return _pair(chance, (caller, agent), bits=16_000)


def _packet_loss(chance: random.Random, seconds: float) -> Lines:
    lines = _pair(chance, talk(chance, seconds))
    return [replace(line, loss=chance.uniform(0.01, 0.08)) for line in lines]


def _bursts(chance: random.Random, seconds: float) -> Lines:
    lines = _pair(chance, talk(chance, seconds, overlap=0.3))
    return [replace(line, holes=_spans(chance, seconds, 4, 0.06, 1.5)) for line in lines]


def _spans(
    chance: random.Random, seconds: float, count: int, least: float, most: float
) -> tuple[tuple[float, float], ...]:
    """Spans somewhere in the call."""
    starts = [chance.uniform(0.5, seconds - most) for _ in range(count)]
    return tuple((at, at + chance.uniform(least, most)) for at in starts)


def _jitter(chance: random.Random, seconds: float) -> Lines:
    lines = _pair(chance, talk(chance, seconds))
    return [replace(line, jitter=chance.uniform(0.03, 0.12)) for line in lines]


def _clocks(chance: random.Random, seconds: float) -> Lines:
    lines = _pair(chance, talk(chance, seconds))
    return [
        replace(line, drift_ppm=chance.uniform(-150, 150), clock_error=3600.0) for line in lines
    ]


def _dtx(chance: random.Random, seconds: float) -> Lines:
    return _pair(chance, talk(chance, seconds, pause=(0.5, 3.0)), dtx=True)


def _quiet(chance: random.Random, seconds: float) -> Lines:
    caller, agent = talk(chance, seconds)
    return _pair(chance, (caller * 10 ** (-chance.uniform(15, 30) / 20), agent))


def _loud(chance: random.Random, seconds: float) -> Lines:
    """The caller's own telephone clips."""
    caller, agent = talk(chance, seconds)
    return _pair(chance, (np.clip(caller * chance.uniform(2, 8), -0.99, 0.99), agent))


def _three(chance: random.Random, seconds: float) -> Lines:
    """A human takes over from the agent, and for a while both speak."""
    caller, agent = talk(chance, seconds, overlap=0.2)
    other, third = talk(chance, seconds, overlap=0.2)
    handover = round(seconds * 0.6 * TICKS)
    agent[handover:] = 0
    third[: handover - 2 * TICKS] = 0
    caller[handover:] = other[handover:]
    return [*_pair(chance, (caller, agent)), Line("human", third, published=seconds * 0.4, seed=9)]


def _echo(chance: random.Random, seconds: float) -> Lines:
    """The caller's loudspeaker is heard by the caller's microphone: in the track as in the mix."""
    caller, agent = talk(chance, seconds)
    put(caller, chance.uniform(0.05, 0.3), agent * 10 ** (-chance.uniform(15, 30) / 20))
    return _pair(chance, (caller, agent))


def _late_agent(chance: random.Random, seconds: float) -> Lines:
    caller, agent = talk(chance, seconds)
    late = chance.uniform(2, seconds / 2)
    agent[: round(late * TICKS)] = 0
    first, second = _pair(chance, (caller, agent))
    return [first, replace(second, published=late)]


def _pauses(chance: random.Random, seconds: float) -> Lines:
    """The agent sends nothing, and does not count, while it has nothing to say."""
    caller, agent = talk(chance, seconds)
    stops = ((seconds * 0.2, seconds * 0.35), (seconds * 0.6, seconds * 0.8))
    for start, end in stops:
        agent[round((start - 0.1) * TICKS) : round((end + 0.1) * TICKS)] = 0
    first, second = _pair(chance, (caller, agent))
    return [first, replace(second, stops=stops)]


def _starved(chance: random.Random, seconds: float) -> Lines:
    """The agent's words come too slowly: they break off in the middle, and it does not count."""
    caller, agent = talk(chance, seconds)
    first_word = int(np.flatnonzero(agent)[0]) // FRAME + 1
    agent, stops = broken_off(agent, chance, singles=6, start=first_word)
    first, second = _pair(chance, (caller, agent))
    return [first, replace(second, stops=stops)]


def _both_starved(chance: random.Random, seconds: float) -> Lines:
    """Both are of one process, and speak at once.

    They are coded with so many bits that each packet builds on the one before it.
    """
    lines, seed = _pair(chance, talk(chance, seconds, overlap=1.0), bits=96_000), chance.random()
    broken = [broken_off(line.sound, random.Random(seed), singles=10) for line in lines]
    return [
        replace(line, sound=sound, stops=stops)
        for line, (sound, stops) in zip(lines, broken, strict=True)
    ]


def broken_off(
    sound: np.ndarray, chance: random.Random, *, singles: int, start: int = 40
) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """A sound that stops again and again, from a frame on, and where.

    At first so many single packets come of it, up to a second and a half apart.
    """
    lasts, stops = len(sound), []
    while True:
        is_single = len(stops) < singles
        end = start + (chance.randint(40, 75) if is_single else chance.randint(5, 22))
        if end * FRAME >= lasts:
            return sound, stops
        silence = made_up.silence((end - start) * FRAME / TICKS)
        sound = np.insert(sound, start * FRAME, silence)[:lasts]
        stops.append((start * FRAME / TICKS, end * FRAME / TICKS))
        start = end + (1 if is_single else chance.randint(25, 200))


def _stereo_agent(chance: random.Random, seconds: float) -> Lines:
    first, second = _pair(chance, talk(chance, seconds))
    return [first, replace(second, stereo=True, bits=48_000)]


def _in_stereo(chance: random.Random, seconds: float, channels: Channels, **more: Any) -> Lines:
    """Either party sends two channels that are made of its voice."""
    lines = _pair(chance, talk(chance, seconds), bits=64_000)
    n = chance.randint(0, 1)
    left, right = channels(chance, lines[n].sound)
    lines[n] = replace(lines[n], sound=left, right=right, stereo=True, **more)
    return lines


def _opposite(chance: random.Random, sound: np.ndarray) -> Pair:
    """A balanced microphone whose wires are swapped."""
    return sound, -sound


def _nearly_opposite(chance: random.Random, sound: np.ndarray) -> Pair:
    """A stereo widener has turned the phase of one channel, which is weaker."""
    return sound, (-chance.uniform(0.5, 0.95) * sound).astype(np.float32)


def _one_sided(chance: random.Random, sound: np.ndarray) -> Pair:
    """A headset on the second input, or on the first."""
    return (0 * sound, sound) if chance.random() < 0.5 else (sound, 0 * sound)


def _one_late(chance: random.Random, sound: np.ndarray) -> Pair:
    """Two microphones a step apart: a sum of them lacks every second stripe of the spectrum."""
    late = round(chance.uniform(0.0002, 0.012) * TICKS)
    return sound, np.concatenate((np.zeros(late, np.float32), sound[: len(sound) - late]))


def _wide(chance: random.Random, sound: np.ndarray) -> Pair:
    """A voice in the middle, and other music on either side."""
    seconds = len(sound) / TICKS
    sides = [music(chance, seconds, chance.uniform(-34, -26)) for _ in range(2)]
    left, right = (sound + side for side in sides)
    return left, right


def _wandering(chance: random.Random, sound: np.ndarray) -> Pair:
    """The voice goes from one side to the other, and its phase turns on the way."""
    angle = 2 * np.pi * chance.uniform(0.05, 0.3) * np.arange(len(sound)) / TICKS
    return (sound * np.cos(angle)).astype("f4"), (sound * np.sin(angle)).astype("f4")


def _turning(chance: random.Random, sound: np.ndarray) -> Pair:
    """One channel's phase is turned and turned back, all at once."""
    turns = np.arange(len(sound)) // round(chance.uniform(1, 4) * TICKS) % 2
    return sound, (sound * (1 - 2 * turns)).astype(np.float32)


def _loud_apart(chance: random.Random, sound: np.ndarray) -> Pair:
    """Two who speak at once close to full scale, each on a channel."""
    other = np.roll(sound[::-1], chance.randint(0, TICKS))
    return tuple(np.clip(3 * each, -0.85, 0.85).astype("f4") for each in (sound, other))


def _mono_first(chance: random.Random, seconds: float) -> Lines:
    """The encoder begins in mono, and goes over to stereo when somebody speaks."""
    lines = _in_stereo(chance, seconds, _opposite)
    spoken = min(int(np.flatnonzero(line.sound)[0]) for line in lines if line.stereo)
    return [replace(line, mono=((0.0, spoken / TICKS - 0.1),)) for line in lines]


def _back_and_forth(chance: random.Random, seconds: float) -> Lines:
    """The encoder goes over to mono and back, as bits allow; both channels are the same then."""
    spans = _spans(chance, seconds, 4, 0.5, 3.0)

    def channels(chance: random.Random, sound: np.ndarray) -> Pair:
        at = np.arange(len(sound)) // FRAME * FRAME / TICKS
        is_mono = np.any([(start <= at) & (at < end) for start, end in spans], axis=0)
        return sound, np.where(is_mono, sound, -sound)

    return _in_stereo(chance, seconds, channels, mono=spans)


def _steady(chance: random.Random, seconds: float) -> Lines:
    """A made-up voice on one side that hardly pauses."""
    caller, agent = talk(chance, seconds)
    caller[:] = made_up.babble(seconds, chance.randint(1, 99), chance.uniform(90, 240))
    return _pair(chance, (caller, agent))


def _bad_line(chance: random.Random, seconds: float) -> Lines:
    """Everything that a network does, at once."""
    lines = _pair(chance, talk(chance, seconds, overlap=0.2), dtx=True)
    return [
        replace(
            line,
            loss=chance.uniform(0.02, 0.06),
            jitter=chance.uniform(0.03, 0.1),
            drift_ppm=chance.uniform(-200, 200),
            holes=_spans(chance, seconds, 2, 0.1, 1.0),
        )
        for line in lines
    ]


def _music_beside(chance: random.Random, seconds: float) -> Lines:
    """The agent's participant plays music on a track of its own while it speaks."""
    first, second = _pair(chance, talk(chance, seconds))
    sound = music(chance, seconds, chance.uniform(-40, -30))
    return [first, second, Line("music", sound, seed=chance.randint(1, 99))]


def _whispers(chance: random.Random, seconds: float) -> Lines:
    """Both are hardly to be heard, over hiss."""
    sides = talk(chance, seconds)
    return _pair(
        chance, [0.04 * side + noise(chance, seconds, chance.uniform(-75, -62)) for side in sides]
    )


def _few_words(chance: random.Random, seconds: float) -> Lines:
    """One word each in the whole call."""
    sides = made_up.silence(seconds), made_up.silence(seconds)
    for side, who in zip(sides, ("caller", "agent"), strict=True):
        put(side, chance.uniform(0, seconds - 2), _said(chance, who)[: round(0.7 * TICKS)])
    return _pair(chance, sides)


def _short(chance: random.Random, seconds: float) -> Lines:
    """One report of the server at most; most is silence, and a word may be loud."""
    sides = made_up.silence(seconds), made_up.silence(seconds)
    for side, who in zip(sides, ("caller", "agent"), strict=True):
        put(side, chance.uniform(0, seconds - 1.2), _said(chance, who)[: round(1.2 * TICKS)])
    return _pair(chance, sides)


def _mutes(chance: random.Random, seconds: float) -> Lines:
    """Words of half a second; between them both are muted, and the server adds silence."""
    sides = talk(chance, seconds, overlap=1.0)
    for side in sides:
        for n in range(int(seconds)):
            side[n * TICKS + TICKS // 2 : (n + 1) * TICKS] = 0
    return _pair(chance, sides, dtx=True, skipped=2)


def _standing(chance: random.Random, seconds: float) -> Lines:
    """A fixed room: the recorder has been listening to the agent for a while."""
    caller, agent = _pair(chance, talk(chance, seconds))
    return [caller, replace(agent, before=chance.randint(10, 100_000))]


def _lively(chance: random.Random, seconds: float) -> Lines:
    """Hardly a pause: what defects are made of."""
    return _pair(chance, talk(chance, seconds, pause=(0.1, 0.5), overlap=0.3))


def _ahead(chance: random.Random, seconds: float) -> Lines:
    """The agent's words are made faster than they are spoken, and are sent as they are made."""
    first, second = _pair(chance, talk(chance, seconds, pause=(0.6, 2.0)))
    return [first, replace(second, ahead=chance.uniform(0.1, 1.2), dtx=chance.random() < 0.7)]


def _joined(chance: random.Random, seconds: float) -> Lines:
    """The recorder gets the agent's track in the middle of a word that was sent ahead of time.

    Enough is said after that to show it.
    """
    caller, agent = talk(chance, seconds)[0], made_up.silence(seconds)
    at = 0.4
    while at < seconds - 1:
        said = _said(chance, "agent")
        put(agent, at, said)
        at += len(said) / TICKS + chance.uniform(0.6, 1.0)
    first, second = _pair(chance, (caller, agent))
    since = chance.uniform(0.5, 1.2)
    return [first, replace(second, ahead=chance.uniform(0.1, 1.2), dtx=True, heard_from=since)]


def _leaps(chance: random.Random, seconds: float) -> Lines:
    """The agent's encoder is begun anew again and again: its timestamps leap, and no time goes by.

    It sends all the time: in a pause in which nothing comes, nobody could tell.
    """
    first, second = _pair(chance, talk(chance, seconds))
    sound = second.sound + noise(chance, seconds, -70)
    at = sorted(chance.uniform(2, seconds - 2) for _ in range(3))
    leaps = tuple((moment, chance.uniform(0.1, 1.8)) for moment in at)
    return [first, replace(second, sound=sound, leaps=leaps)]


def _muted_clock(chance: random.Random, seconds: float) -> Lines:
    """The caller is muted twice, and does not count meanwhile; some of it is made up for later."""
    caller, agent = talk(chance, seconds)
    spans = tuple(
        (seconds * part, seconds * part + chance.uniform(0.5, 3.0)) for part in (0.2, 0.6)
    )
    for start, end in spans:
        caller[round((start - 0.2) * TICKS) : round((end + 0.1) * TICKS)] = 0
    leaps = tuple((end - 0.05, chance.uniform(0, end - start)) for start, end in spans)
    first, second = _pair(chance, (caller, agent))
    return [replace(first, stops=spans, leaps=leaps), second]


def _runaway(chance: random.Random, seconds: float) -> Lines:
    """For a while each of the agent's packets says that more time went by than did."""
    first, second = _pair(chance, talk(chance, seconds))
    start, more = chance.uniform(2, seconds / 2), chance.choice((0.005, 0.04, 0.1))
    leaps = tuple((start + n * FRAME / TICKS, more) for n in range(chance.randint(50, 300)))
    return [first, replace(second, leaps=leaps)]


def _far_off(chance: random.Random, seconds: float) -> Lines:
    """Somebody's clock is off by one or two parts in a hundred."""
    lines, n = _pair(chance, talk(chance, seconds)), chance.randint(0, 1)
    share = chance.choice((-1, 1)) * chance.uniform(0.01, 0.019)
    lines[n] = replace(lines[n], drift_ppm=share * 1e6)
    return lines


def _handed_over(chance: random.Random, seconds: float) -> Lines:
    """The recorder connects anew, and hears the caller over both connections for a while."""
    first, second = _pair(chance, talk(chance, seconds))
    since = chance.uniform(0.3, 0.6) * seconds
    until = since + chance.uniform(0.1, 3.0)
    before = first.sound[: round(until * TICKS)]
    after = first.sound[round(since * TICKS) :]
    return [
        replace(first, sound=before, ssrc=11),
        replace(first, sound=after, published=since, ssrc=12),
        second,
    ]


SCENES: Final[dict[str, Callable[[random.Random, float], Lines]]] = {
    "turns": _turns,
    "double talk": _double_talk,
    "long silences": _long_silences,
    "silent caller": _silent_caller,
    "nobody speaks": _nobody_speaks,
    "music on hold": _on_hold,
    "dtmf": _dtmf,
    "ringing": _ringing,
    "noisy rooms": _noisy,
    "telephone": _telephone,
    "packet loss": _packet_loss,
    "bursts of loss": _bursts,
    "jitter": _jitter,
    "clocks that drift": _clocks,
    "dtx": _dtx,
    "quiet caller": _quiet,
    "clipped at its source": _loud,
    "three voices": _three,
    "echo": _echo,
    "late agent": _late_agent,
    "pauses": _pauses,
    "starved agent": _starved,
    "both starved": _both_starved,
    "stereo agent": _stereo_agent,
    "opposite phase": partial(_in_stereo, channels=_opposite),
    "nearly opposite phase": partial(_in_stereo, channels=_nearly_opposite),
    "one channel only": partial(_in_stereo, channels=_one_sided),
    "one channel late": partial(_in_stereo, channels=_one_late),
    "wide stereo": partial(_in_stereo, channels=_wide),
    "wandering voice": partial(_in_stereo, channels=_wandering),
    "turning phase": partial(_in_stereo, channels=_turning),
    "loud apart": partial(_in_stereo, channels=_loud_apart),
    "mono, then stereo": _mono_first,
    "mono and stereo": _back_and_forth,
    "steady voice": _steady,
    "bad line": _bad_line,
    "music beside": _music_beside,
    "whispers": _whispers,
    "few words": _few_words,
    "short": _short,
    "mutes": _mutes,
    "standing": _standing,
    "lively": _lively,
    "sent ahead": _ahead,
    "leaps": _leaps,
    "muted clock": _muted_clock,
    "runs away": _runaway,
    "clock far off": _far_off,
    "handed over": _handed_over,
    "joined in mid-word": _joined,
}
