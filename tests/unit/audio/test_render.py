"""Whole calls: made-up packets in, finished files decoded and judged by what is to be heard."""

from collections.abc import Generator
from dataclasses import replace

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from egress_manager.audio.finished import Encrypted, NeverCaptured, NoAudio
from egress_manager.audio.render import Render
from egress_manager.domain.captures import TICKS, ConnectionChanged, TrackChanged, Trouble
from egress_manager.domain.recordings import Rendered, RenderPlan
from tests.unit.audio import made_up
from tests.unit.audio.made_up import BEGINS_AT, Chirps, Line

LEFT, RIGHT = 0, 1


def plan(ends_at: float | None, begins_at: float = 0.0, **more) -> RenderPlan:
    """A plan for the call of a made-up capture. Times in seconds since `BEGINS_AT`."""
    fields = {
        "recording_id": "rec_1",
        "captures": ("cap_1",),
        "caller_sids": ("PA_caller",),
        "begins_at": BEGINS_AT + begins_at,
        "ends_at": None if ends_at is None else BEGINS_AT + ends_at,
        "mix_filepath": "room/mix.mp4",
        "track_filepath": "room/{track_id}.ogg",
    }
    return RenderPlan(**{**fields, **more})


def finished(render: Render) -> Rendered:
    """What comes of a render that is worked on until it is done."""
    return made_to_end(render.finish())


def made_to_end(work: Generator[None, None, Rendered]) -> Rendered:
    """What comes of work that was begun."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def follow(render: Render) -> None:
    """One turn of a call that goes on."""
    for _ in render.follow():
        pass


def rendered(directory, lines, ends_at, **more):
    """The result, and the sound of the mix, of a capture of those lines."""
    made_up.capture(lines, ends_at=ends_at).write(directory / "cap_1")
    made = finished(Render(directory, plan(ends_at, **more)))
    return made, made_up.decoded(directory / made.filepath)


def chirping(identity: str, length: float, marks, **more) -> Line:
    """A line with a chirp at each of those times."""
    return Line(identity, made_up.with_chirps(length, marks), **more)


def off(sound, marks) -> float:
    """How far the worst of the chirps is from its place, in seconds."""
    return max(abs(made_up.found(sound, mark) - mark) for mark in marks)


def level(sound, start: float, end: float) -> float:
    """The level of a span, in dBFS."""
    part = sound[round(start * TICKS) : round(end * TICKS)]
    return 10 * np.log10(np.mean(np.square(part, dtype=np.float64)) + 1e-18)


@pytest.mark.parametrize("mix_format", ["mp4", "ogg"])
@pytest.mark.parametrize("length", [2.0, 20.0137])
def test_every_chirp_is_at_its_place(tmp_path, mix_format, length):
    """In the mix and in the tracks, through jitter, drift, and a clock that is an hour wrong."""
    marks = ([0.5, length / 2, length - 0.3], [1.0, length - 0.6])
    lines = [
        chirping("caller", length, marks[0], jitter=0.02, drift_ppm=100, clock_error=3600),
        chirping("agent", length, marks[1], jitter=0.02, drift_ppm=-100, dtx=True),
    ]

    made, mix = rendered(
        tmp_path, lines, length, mix_format=mix_format, mix_filepath=f"m.{mix_format}"
    )

    assert off(mix[LEFT], marks[0]) < 0.005
    assert off(mix[RIGHT], marks[1]) < 0.005
    for track, mine in zip(made.tracks, marks, strict=True):
        assert off(made_up.decoded(tmp_path / track.filepath)[0], mine) < 0.005


def test_an_hour_of_drifting_clocks(tmp_path):
    """Both are 100 ppm off, in opposite directions; one is an hour wrong, one tells nothing."""
    hour = 3600.0
    marks = ([30.0 + 180 * n for n in range(20)], [100.0 + 180 * n for n in range(20)])
    lines = [
        Line("caller", Chirps(hour, marks[0]), jitter=0.1, drift_ppm=100, clock_error=3600),
        Line("agent", Chirps(hour, marks[1]), jitter=0.1, drift_ppm=-100, dtx=True, reports=False),
    ]
    made_up.capture(lines, ends_at=hour).write(tmp_path / "cap_1")

    made = finished(Render(tmp_path, plan(hour)))

    for side, (track, mine) in enumerate(zip(made.tracks, marks, strict=True)):
        assert made_up.worst(tmp_path / made.filepath, side, mine) < 0.010
        assert made_up.worst(tmp_path / track.filepath, 0, mine) < 0.015


@pytest.mark.parametrize("mix_format", ["mp4", "ogg"])
@pytest.mark.parametrize("length", [1.0, 7.777, 12.34567])
def test_a_file_lasts_as_long_as_the_call(tmp_path, mix_format, length):
    """What the container says to 10 ms, what a player decodes to 25 ms."""
    line = chirping("caller", length, [0.2])

    made, mix = rendered(tmp_path, [line], length, mix_format=mix_format)

    with av.open(str(tmp_path / made.filepath)) as container:
        assert container.duration / 1e6 == pytest.approx(length, abs=0.010)
    assert mix.shape[1] / TICKS == pytest.approx(length, abs=0.025)
    track = made_up.decoded(tmp_path / made.tracks[0].filepath)
    assert track.shape[1] / TICKS == pytest.approx(length, abs=0.001)


@pytest.mark.parametrize("mix_format", ["mp4", "ogg"])
def test_nothing_leaks_from_one_side_to_the_other(tmp_path, mix_format):
    """While one speaks and the other does not, the silent side is 50 dB below."""
    turns = [made_up.silence(20.0), made_up.silence(20.0)]
    for side, voice in enumerate((made_up.babble(20.0, 1, 120), made_up.babble(20.0, 2, 210))):
        for n in range(side, 10, 2):
            start, end = round((2 * n + 0.2) * TICKS), round((2 * n + 1.8) * TICKS)
            turns[side][start:end] = voice[start:end] * np.hanning(end - start) ** 0.2
    lines = [Line("caller", turns[LEFT]), Line("agent", turns[RIGHT])]

    _, mix = rendered(tmp_path, lines, 20.0, mix_format=mix_format)

    frames = np.square(mix[:, : 20 * TICKS].reshape(2, -1, 960), dtype=np.float64).mean(axis=2)
    decibels = 10 * np.log10(frames + 1e-18)
    speaking = decibels.max(axis=0) > -40
    apart = np.abs(decibels[LEFT] - decibels[RIGHT])[speaking]
    assert speaking.sum() > 200
    assert (apart >= 50).mean() >= 0.99


def test_a_hole_is_silent_and_does_not_click(tmp_path):
    """Half a second of a tone is lost: the rest is there, and the edges are soft."""
    tone = (0.5 * np.sin(2 * np.pi * 440 * np.arange(10 * TICKS) / TICKS)).astype(np.float32)
    line = Line("caller", tone, holes=[(4.0, 4.5)])

    made, mix = rendered(tmp_path, [line], 10.0)

    assert level(mix[LEFT], 4.05, 4.45) < -80
    assert level(mix[LEFT], 3.0, 3.9) == pytest.approx(-9, abs=1)
    assert level(mix[LEFT], 4.6, 5.5) == pytest.approx(-9, abs=1)
    high = np.abs(np.diff(mix[LEFT], 3))
    assert high[round(3.95 * TICKS) : round(4.55 * TICKS)].max() < 0.02
    assert [(h.start_sec, h.end_sec, h.cause) for h in made.tracks[0].holes] == [
        (pytest.approx(4.0, abs=0.03), pytest.approx(4.5, abs=0.03), "loss")
    ]
    assert made.tracks[0].lost == 25


def test_single_packets_that_are_lost_are_made_up(tmp_path):
    """Two in a hundred are missing from a tone, and it never stops."""
    tone = (0.5 * np.sin(2 * np.pi * 440 * np.arange(10 * TICKS) / TICKS)).astype(np.float32)

    made, mix = rendered(tmp_path, [Line("caller", tone, loss=0.02)], 10.0)

    levels = [level(mix[LEFT], t / 50, (t + 1) / 50) for t in range(10, 480)]
    assert made.tracks[0].lost > 5
    assert min(levels) > -25


def test_a_rejoin_that_overlaps_does_not_double_anything(tmp_path):
    """Two captures heard the same seconds: louder by nothing, and no chirp twice."""
    marks = [1.0, 5.0, 6.5, 8.0, 12.0]
    sound = made_up.with_chirps(14.0, marks)
    line = Line("caller", sound, jitter=0.005)
    made_up.capture([line], ends_at=9.0, ended=False).write(tmp_path / "cap_1")
    again = replace(line, delay=0.003, seed=5)
    made_up.capture([again], starts=4.0, ends_at=14.0, name="cap_2").write(tmp_path / "cap_2")

    made = finished(Render(tmp_path, plan(14.0, captures=("cap_1", "cap_2"))))

    mix = made_up.decoded(tmp_path / made.filepath)
    assert off(mix[LEFT], marks) < 0.010
    for mark in marks:
        assert np.abs(mix[LEFT][round(mark * TICKS) :][:4800]).max() == pytest.approx(0.5, abs=0.1)
    assert np.abs(mix[LEFT]).sum() == pytest.approx(np.abs(sound).sum(), rel=0.1)
    assert off(made_up.decoded(tmp_path / made.tracks[0].filepath)[0], marks) < 0.010


@pytest.mark.parametrize("second_from", [5.0, 4.0])
def test_who_goes_on_in_the_middle_of_a_word_knows_how_it_began(tmp_path, second_from: float):
    """A mix of two captures is that of one: a decoder that does not know is heard."""
    line = Line("caller", made_up.chirp(10.0))
    made_up.capture([line], ends_at=10.0, name="cap_0").write(tmp_path / "cap_0")
    made_up.capture([line], ends_at=5.0).write(tmp_path / "cap_1")
    later = made_up.capture([line], starts=second_from, ends_at=10.0, name="cap_2")
    later.write(tmp_path / "cap_2")

    alone, both = (
        made_up.decoded(
            tmp_path / finished(Render(tmp_path, plan(10.0, captures=captures))).filepath
        )[LEFT].copy()
        for captures in (("cap_0",), ("cap_1", "cap_2"))
    )

    seam = slice(round(5.01 * TICKS), round(5.5 * TICKS))
    assert np.abs(both[seam] - alone[seam]).max() < 0.02


def test_a_short_capture_of_which_all_is_late_lies_where_the_one_before_it_shows(tmp_path):
    """Its packets can't show that the network held every one of them up, but the counter can."""
    marks = [0.5, 1.5, 2.4, 3.5]
    line = chirping("caller", 5.0, marks, late=[(1.0, 2.0, 0.05)], jitter=0.002)
    captures = [f"cap_{n}" for n in range(1, 6)]
    for n, name in enumerate(captures):
        part = made_up.capture([line], starts=n + 0.02, ends_at=n + 1.02, name=name)
        part.write(tmp_path / name)

    made = finished(Render(tmp_path, plan(5.0, captures=tuple(captures))))

    assert off(made_up.decoded(tmp_path / made.filepath)[LEFT], marks) < 0.01


def test_a_recorder_that_died_leaves_a_hole_with_its_name(tmp_path):
    """Another goes on, and what was kept is kept."""
    marks = [1.0, 4.0, 9.0]
    line = chirping("caller", 12.0, marks)
    made_up.capture([line], ends_at=5.0, ended=False).write(tmp_path / "cap_1")
    made_up.capture([line], starts=7.0, ends_at=12.0, name="cap_2").write(tmp_path / "cap_2")

    made = finished(Render(tmp_path, plan(12.0, captures=("cap_1", "cap_2"))))

    assert off(made_up.decoded(tmp_path / made.filepath)[LEFT], marks) < 0.005
    assert [hole.cause for hole in made.holes] == ["recorder down"]
    assert made.holes[0].start_sec == pytest.approx(5.0, abs=0.6)
    assert made.holes[0].end_sec == pytest.approx(7.0, abs=0.1)


def test_voices_that_shout_together_do_not_clip(tmp_path):
    """Three at nearly full scale on one side stay within it, and a quiet one is not pumped."""
    shout = (0.9 * np.sin(2 * np.pi * 300 * np.arange(4 * TICKS) / TICKS)).astype(np.float32)
    lines = [Line("caller", made_up.silence(4.0))]
    lines += [Line(f"agent{n}", shout, seed=n) for n in range(3)]

    made, mix = rendered(tmp_path, lines, 4.0)

    assert np.abs(mix[RIGHT]).max() < 1.15  # the encoder's own ripple
    assert level(mix[RIGHT], 1.0, 3.0) > -3
    assert made.channels[RIGHT].participants == ("agent0", "agent1", "agent2")


def test_only_the_call_is_in_its_files(tmp_path):
    """The room was captured before and after: chirps of other times are not heard."""
    line = chirping("caller", 20.0, [2.0, 7.0, 12.0, 18.0])
    made_up.capture([line], ends_at=20.0).write(tmp_path / "cap_1")

    made = finished(Render(tmp_path, plan(15.0, begins_at=5.0)))

    for path in (made.filepath, made.tracks[0].filepath):
        sound = made_up.decoded(tmp_path / path)[0]
        assert sound.shape[0] / TICKS == pytest.approx(10.0, abs=0.025)
        assert off(sound, [2.0, 7.0]) < 0.005
        assert level(sound, 0.0, 1.9) < -80
        assert level(sound, 7.2, 10.0) < -80


def test_a_stereo_track_is_heard_on_its_side(tmp_path):
    """Both of its channels, mixed down; its own file stays stereo."""
    made, mix = rendered(tmp_path, [chirping("caller", 4.0, [1.0], stereo=True)], 4.0)

    assert off(mix[LEFT], [1.0]) < 0.005
    assert made_up.decoded(tmp_path / made.tracks[0].filepath).shape[0] == 2


def played(tmp_path, written, ends_at, step=1.5) -> Render:
    """A render that has followed a capture until its end."""
    render = Render(tmp_path, plan(None))
    at = -1.0
    while at < ends_at:
        written.write(tmp_path / "cap_1", after=at, until=at + step)
        at += step
        follow(render)
    written.write(tmp_path / "cap_1", after=at)
    render.replan(plan(ends_at))
    return render


def test_what_is_mixed_while_it_goes_on_is_what_is_mixed_at_the_end(tmp_path):
    """A call that was followed sounds like one that was not; the end is all that was left to do."""
    lines = [
        Line("caller", made_up.babble(30.0, 1), loss=0.01),
        Line("agent", made_up.babble(30.0, 2, 210.0)),
    ]
    written = made_up.capture(lines, ends_at=30.0)
    render = played(tmp_path, written, 30.0)
    was_mixing = render._mixing

    mix = made_up.decoded(tmp_path / finished(render).filepath)

    assert was_mixing is not None
    assert render._mixing is was_mixing
    again = made_up.decoded(tmp_path / finished(Render(tmp_path, plan(30.0))).filepath)
    difference = mix[:, : 30 * TICKS] - again[:, : 30 * TICKS]
    assert level(difference.ravel(), 0, 60) < -80


def test_a_call_is_mixed_again_when_its_clocks_are_known_better(tmp_path):
    """All packets come 300 ms late for a while: what was mixed then stood in a wrong place."""
    marks = [2.0, 9.0, 20.0, 28.0]
    line = chirping("caller", 30.0, marks, late=[(0.0, 15.0, 0.3)])
    render = played(tmp_path, made_up.capture([line], ends_at=30.0), 30.0)

    made = finished(render)

    assert off(made_up.decoded(tmp_path / made.filepath)[LEFT], marks) < 0.005


@pytest.mark.parametrize("reports", [True, False])
def test_an_agent_whose_timestamps_stand_still_between_its_sentences(tmp_path, reports):
    """It sends nothing while it says nothing; each answer is heard when it was given."""
    marks = [1.0, 5.0, 9.0, 14.0, 21.0, 26.0]
    stops = [(2.0, 2.9), (6.0, 7.96), (10.0, 10.4), (15.0, 16.5), (22.0, 23.0)]
    lines = [
        chirping("caller", 30.0, [3.0]),
        chirping("agent", 30.0, marks, stops=stops, jitter=0.02, reports=reports),
    ]
    written = made_up.capture(lines, ends_at=30.0)

    made = finished(played(tmp_path, written, 30.0))

    assert off(made_up.decoded(tmp_path / made.filepath)[RIGHT], marks) < 0.020
    assert off(made_up.decoded(tmp_path / made.tracks[1].filepath)[0], marks) < 0.020


def test_a_word_before_the_hang_up_is_heard_when_it_was_said(tmp_path):
    """Half a second, after a pause in which the caller's line sent nothing and did not count."""
    marks = [2.0, 15.0]
    bye = chirping("caller", 20.0, marks, stops=[(8.0, 14.9), (15.4, 20.0)], jitter=0.02)

    made, mix = rendered(tmp_path, [bye], 20.0)

    assert off(mix[LEFT], marks) < 0.020
    assert off(made_up.decoded(tmp_path / made.tracks[0].filepath)[0], marks) < 0.020


@pytest.mark.parametrize("freed", [20.0, 20.5])
def test_last_words_that_a_network_held_up_are_heard_when_they_were_said(tmp_path, freed):
    """The caller hangs up while nothing comes through; then all of it does."""
    marks, packets = [2.0, 15.0, 19.2], range(945, 1000)
    late = [(n / 50 - 0.001, n / 50 + 0.019, freed - n / 50) for n in packets]

    caller = chirping("caller", 20.0, marks, late=late)
    made_up.capture([caller], ends_at=21.0).write(tmp_path / "cap_1")

    made = finished(Render(tmp_path, plan(20.2)))

    assert off(made_up.decoded(tmp_path / made.filepath)[LEFT], marks) < 0.010
    assert off(made_up.decoded(tmp_path / made.tracks[0].filepath)[0], marks) < 0.010


def test_what_is_said_to_the_next_caller_is_not_in_the_files_of_the_last(tmp_path):
    """An agent whose line did not count for a while speaks again while the files are made."""
    agent = chirping("agent", 34.0, [2.0, 30.5], stops=[(12.0, 30.0)], jitter=0.01)
    lines = [chirping("caller", 20.0, [1.0]), agent]
    written = made_up.capture(lines, ends_at=34.0, ended=False)
    written.write(tmp_path / "cap_1", until=25.0)
    render = Render(tmp_path, plan(20.0))
    work = render.finish()
    for _ in range(3):  # the journal is read, and mixing has begun
        next(work)
    written.write(tmp_path / "cap_1", after=25.0)

    made = made_to_end(work)

    assert level(made_up.decoded(tmp_path / made.filepath)[RIGHT], 12.2, 19.9) < -80
    assert level(made_up.decoded(tmp_path / made.tracks[1].filepath)[0], 12.2, 19.9) < -80


@pytest.mark.parametrize("held", [0.0, 0.45, 2.0])
@pytest.mark.parametrize("later", [0.15, 1.1])
def test_what_is_said_to_the_next_caller_is_in_no_other_call_when_it_comes_late(
    tmp_path, held, later
):
    """A network holds up its first words; the files are made when these have just come."""
    late = [(n / 50 - 0.001, n / 50 + 0.019, 30 + held - n / 50) for n in range(1500, 1600)]
    late = [(start, end, more) for start, end, more in late if more > 0]
    marks = [2.0, *(30.4 + n / 2 for n in range(10))]
    agent = chirping("agent", 36.0, marks, stops=[(12.0, 30.0)], jitter=0.01, late=late)
    lines = [chirping("caller", 20.0, [1.0]), agent]
    written = made_up.capture(lines, ends_at=36.0, ended=False)
    written.write(tmp_path / "cap_1", until=30.0 + held + later)

    made = finished(Render(tmp_path, plan(20.0)))

    assert level(made_up.decoded(tmp_path / made.filepath)[RIGHT], 12.2, 19.9) < -80
    assert level(made_up.decoded(tmp_path / made.tracks[1].filepath)[0], 12.2, 19.9) < -80


def test_a_line_that_pauses_long_is_mixed_once(tmp_path):
    """What comes after each pause waits until it is known where it belongs."""
    marks = [2.0, 21.0, 38.0, 55.0]
    stops = [(4.0, 20.0), (22.5, 37.0), (38.2, 41.0), (42.0, 54.0)]
    line = chirping("caller", 60.0, marks, stops=stops, jitter=0.02)
    render = Render(tmp_path, plan(None))
    written = made_up.capture([line], ends_at=60.0)
    mixings = set()
    for at in range(62):
        written.write(tmp_path / "cap_1", after=at - 1, until=at)
        follow(render)
        mixings.add(render._mixing)
    render.replan(plan(60.0))

    made = finished(render)

    assert mixings - {None} == {render._mixing}
    assert off(made_up.decoded(tmp_path / made.filepath)[LEFT], marks) < 0.020


def test_a_capture_that_turns_up_late_is_mixed_in(tmp_path):
    """Another recorder had the first half; its files come when the call is over."""
    marks = [2.0, 8.0, 14.0]
    line = chirping("caller", 20.0, marks)
    made_up.capture([line], starts=10.0, ends_at=20.0, name="cap_2").write(tmp_path / "cap_2")
    render = Render(tmp_path, plan(None, captures=("cap_2",)))
    follow(render)
    made_up.capture([line], ends_at=10.0).write(tmp_path / "cap_1")
    render.replan(plan(20.0, captures=("cap_2", "cap_1")))

    made = finished(render)

    assert off(made_up.decoded(tmp_path / made.filepath)[LEFT], marks) < 0.005


def test_every_track_has_a_file_or_a_reason(tmp_path):
    """One speaks, one never sent a packet, one is encrypted, one came after the call."""
    lines = [
        chirping("caller", 5.0, [1.0]),
        Line("shy", made_up.silence(0.0)),
        chirping("secret", 5.0, [1.0], encrypted=True),
        chirping("late", 20.0, [15.0], published=12.0),
    ]
    made_up.capture(lines, ends_at=20.0).write(tmp_path / "cap_1")

    made = finished(Render(tmp_path, plan(5.0)))

    reasons = {track.participant_identity: track.reason for track in made.tracks}
    assert reasons == {"caller": "", "shy": "no_audio", "secret": "encrypted"}
    assert [bool(track.filepath) for track in made.tracks] == [True, False, False]


def test_what_was_kept_of_a_track_that_had_another_codec_is_heard(tmp_path):
    """First it says that it is no Opus, and nothing of that is kept: a hole says so, no pause."""
    line = chirping("caller", 10.0, [6.0], published=4.0)
    first = [
        TrackChanged(BEGINS_AT + 1, line.track_sid, line.participant_sid, mime="audio/pcmu"),
        Trouble(BEGINS_AT + 1, "codec", line.track_sid, "audio/pcmu"),
    ]
    made_up.capture([line], ends_at=10.0, extra=first).write(tmp_path / "cap_1")

    made = finished(Render(tmp_path, plan(10.0)))

    (track,) = made.tracks
    assert (bool(track.filepath), track.reason) == (True, "")
    marks = made_up.decoded(tmp_path / made.filepath)[LEFT]
    assert off(marks, [6.0]) < 0.005
    (hole,) = [hole for hole in track.holes if hole.cause == "not_recorded"]
    assert (hole.start_sec, hole.end_sec) == pytest.approx((1.0, 4.0), abs=0.2)


def test_nothing_kept_is_no_file(tmp_path):
    """And the reason can be told from encryption."""
    extra = [TrackChanged(BEGINS_AT, "TR_x", "PA_x")]
    made_up.capture([], ends_at=5.0, extra=extra).write(tmp_path / "cap_1")
    with pytest.raises(NoAudio):
        finished(Render(tmp_path, plan(5.0)))

    secret = chirping("caller", 5.0, [1.0], encrypted=True)
    made_up.capture([secret], ends_at=5.0).write(tmp_path / "cap_2")
    with pytest.raises(Encrypted):
        finished(Render(tmp_path, plan(5.0, captures=("cap_2",))))

    assert not (tmp_path / "room/mix.mp4").exists()


@pytest.mark.parametrize(
    ("starts", "ends", "extra"),
    [
        (0.0, 2.0, []),
        (15.0, 20.0, []),
        (0.0, 20.0, [Trouble(BEGINS_AT + 1, "disk", "full")]),
        (0.0, 20.0, [ConnectionChanged(BEGINS_AT + 2, "lost", "recorder")]),
    ],
    ids=["it died", "it came late", "its disk was full", "its way was cut"],
)
def test_nothing_kept_by_a_recorder_that_was_away_is_not_silence(tmp_path, starts, ends, extra):
    """Somebody may have spoken, and nobody can tell."""
    made_up.capture([], starts=starts, ends_at=ends, extra=extra).write(tmp_path / "cap_1")

    with pytest.raises(NeverCaptured):
        finished(Render(tmp_path, plan(20.0)))


@pytest.mark.parametrize("extra", [[], [Trouble(BEGINS_AT + 9, "stalled", detail="3.0")]])
def test_a_recorder_that_was_there_says_that_nobody_sent_anything(tmp_path, extra):
    """A slow join, and a moment in which it stood still, are no reason to doubt it."""
    made_up.capture([], starts=1.5, ends_at=20.0, extra=extra).write(tmp_path / "cap_1")

    with pytest.raises(NoAudio):
        finished(Render(tmp_path, plan(20.0)))


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_captures_that_were_torn_anywhere_still_give_files(tmp_path_factory, data):
    """Any file cut at any byte, and some garbage in it: what is before the damage is heard."""
    directory = tmp_path_factory.mktemp("torn")
    line = chirping("caller", 6.0, [1.0, 4.0])
    made_up.capture([line], ends_at=6.0).write(directory / "cap_1")
    for path in sorted((directory / "cap_1").iterdir()):
        whole = path.read_bytes()
        cut = data.draw(st.integers(len(whole) // 2, len(whole)), label=path.name)
        path.write_bytes(whole[:cut] + data.draw(st.binary(max_size=50)))

    made = finished(Render(directory, plan(6.0)))

    mix = made_up.decoded(directory / made.filepath)
    assert mix.shape[1] / TICKS == pytest.approx(6.0, abs=0.025)
    assert off(mix[LEFT], [1.0]) < 0.005
