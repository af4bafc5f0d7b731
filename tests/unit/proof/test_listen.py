"""Listening to single files: what is told of them, and that nothing in a file can break it."""

import random
from dataclasses import asdict
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from egress_manager.audio import ogg
from egress_manager.audio.as_json import from_json, to_json
from egress_manager.audio.listen import listen, listening
from egress_manager.domain.captures import TICKS
from egress_manager.domain.evidence import Claim, Evidence, TrackClaim
from tests.unit.audio import made_up
from tests.unit.proof import calls


def heard(path: Path):
    """What is told of a file by itself."""
    return listen(Claim(str(path), is_ours=False)).mix


def voice(seconds: float, level: float = 0.0) -> np.ndarray:
    """A made-up voice on two channels, the right one silent."""
    sound = made_up.babble(seconds) * 10 ** (level / 20)
    return np.stack([sound, np.zeros_like(sound)])


@pytest.mark.parametrize(
    ("name", "codec", "form"),
    [
        ("a.mp4", "aac", "mp4"),
        ("a.ogg", "libopus", "ogg"),
        ("a.wav", "pcm_s16le", "wav"),
        ("a.flac", "flac", "flac"),
        ("a.mp3", "libmp3lame", "mp3"),
    ],
)
def test_any_format_is_measured_alike(name, codec, form, tmp_path):
    """How long, how loud, on which side, and that it is a voice."""
    calls.write(tmp_path / name, voice(12.0), codec, 96_000)

    found = heard(tmp_path / name)

    left, right = found.channels
    assert found.format == form
    assert found.decoded_sec == pytest.approx(12.0, abs=0.06)
    assert left.level_dbfs == pytest.approx(-18.1, abs=0.6)
    assert left.active_sec / 2 < left.speech_sec <= left.active_sec  # a made-up voice, partly
    assert right.level_dbfs is None or right.level_dbfs < -50
    assert right.speech_sec == 0


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 44_100, 48_000])
def test_any_rate_is_measured_alike(rate, tmp_path):
    """Some have whole samples in 5 ms, others are brought to 48 kHz first."""
    sound = voice(6.0)[:, :: TICKS // rate] if TICKS % rate == 0 else voice(6.0)
    with av.open(str(tmp_path / "a.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=rate, layout="stereo")
        packed = (sound.T.reshape(1, -1) * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(packed), "s16", "stereo")
        frame.sample_rate = rate
        container.mux(stream.encode(frame))

    found = heard(tmp_path / "a.wav")

    assert found.sample_rate == rate
    assert found.decoded_sec == pytest.approx(sound.shape[1] / rate, abs=0.01)
    assert found.channels[0].level_dbfs == pytest.approx(-18.0, abs=0.3)


def test_noise_is_no_speech_and_a_quiet_voice_is(tmp_path):
    """It is not loudness that makes a voice."""
    noise = calls.noise(random.Random(1), 12.0, -25.0)
    quiet = calls.talk(random.Random(2), 12.0)[0] * 0.05
    calls.write(tmp_path / "a.ogg", np.stack([noise, quiet]), "libopus", 96_000)

    left, right = heard(tmp_path / "a.ogg").channels

    assert left.speech_sec == 0
    assert right.speech_sec > 1


def test_time_that_time_stamps_leave_out_stays_silent(tmp_path):
    """What follows is at its place, and the jump is told."""
    packets = list(made_up.payloads(made_up.Line("x", voice(4.0)[0])))
    head = ogg.head_pages(1, 1)
    first = ogg.page(packets[:50], 48_000, 1, 2)
    second = ogg.page(packets[50:100], 5 * 48_000, 1, 3)
    third = ogg.page(packets[100:150], 6 * 48_000, 1, 4, last=True)
    (tmp_path / "a.ogg").write_bytes(head + first + second + third)

    found = heard(tmp_path / "a.ogg")

    (jump,) = found.jumps
    assert (jump.start_sec, jump.end_sec) == pytest.approx((1.0, 4.0), abs=0.03)
    assert found.decoded_sec == pytest.approx(6.0, abs=0.03)


def test_a_file_with_heads_and_no_sound_is_told_as_it_is(tmp_path):
    """Nothing can be measured, and that is what is said."""
    (tmp_path / "a.ogg").write_bytes(ogg.head_pages(1, 2))
    claim = Claim(
        str(tmp_path / "a.ogg"), tracks=(TrackClaim("TR_1", "left", claim_path(tmp_path)),)
    )

    found = listen(claim)

    assert found.mix.problem == "unreadable"
    assert found.tracks[0].heard.problem == "unreadable"


def claim_path(directory: Path) -> str:
    """The path of a track that has heads and no sound either."""
    path = directory / "track.ogg"
    path.write_bytes(ogg.head_pages(2, 1))
    return str(path)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A small file of each format of ours."""
    directory = tmp_path_factory.mktemp("files")
    for name, codec in (("a.mp4", "aac"), ("a.ogg", "libopus")):
        calls.write(directory / name, voice(3.0), codec, 64_000)
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), name=st.sampled_from(["a.mp4", "a.ogg"]))
def test_no_damage_breaks_the_listening(data, name, files, tmp_path):
    """Whatever was written over it and wherever it was cut, there is evidence, and no error."""
    whole = bytearray(files[name])
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(whole) - 1))
        more = data.draw(st.binary(max_size=600))
        whole[at : at + len(more)] = more
    cut = data.draw(st.integers(0, len(whole)))
    path = tmp_path / name
    path.write_bytes(bytes(whole[:cut]))
    claim = Claim(str(path), tracks=(TrackClaim("TR_1", "left", str(path)),))

    assert isinstance(listen(claim), Evidence)


def test_others_get_their_turn_while_it_listens(files, tmp_path):
    """A call of hours is worked on in slices of a second of sound."""
    (tmp_path / "a.mp4").write_bytes(files["a.mp4"])

    slices = sum(1 for _ in listening(Claim(str(tmp_path / "a.mp4"))))

    assert slices >= 2


def test_claims_and_evidence_survive_as_json(tmp_path):
    """So another process, or a document, can have them."""
    made = calls.make(calls.scene("bursts of loss", seconds=12.0), tmp_path)
    evidence = listen(made.claim)

    assert from_json(Claim, to_json(made.claim)) == made.claim
    assert from_json(Evidence, to_json(evidence)) == evidence
    assert from_json(Evidence, {**asdict(evidence), "news": 1}) == evidence
