"""Sound files of anybody's: how long they last, and why some can't be read."""

import os
from pathlib import Path

import av
import pytest

from egress_manager.audio.whole import sound_of
from egress_manager.domain.importing import NoSound
from lab.sound_files import CODECS, write
from lab.sounds import chirp, speech


@pytest.mark.parametrize("ending", sorted(CODECS))
def test_every_usual_kind_is_read(tmp_path: Path, ending: str) -> None:
    """As long as it was made, give or take what the encoder fills up."""
    sound = sound_of(write(tmp_path / f"a{ending}", chirp(1.5), speech(1.5)))

    assert sound.duration_sec == pytest.approx(1.5, abs=0.05)
    assert (sound.channels, sound.sample_rate, sound.damaged) == (2, 48_000, 0)
    assert sound.codec == CODECS[ending].removeprefix("lib").removesuffix("lame")


def test_a_telephones_sound_is_read(tmp_path: Path) -> None:
    """A-law, 8 kHz, one channel."""
    sound = sound_of(write(tmp_path / "a.wav", chirp(1.0), rate=8000, codec="pcm_alaw"))

    assert (sound.duration_sec, sound.channels, sound.sample_rate) == (1.0, 1, 8000)


def test_sound_beside_a_picture_is_read(tmp_path: Path) -> None:
    """LiveKit Egress records a participant with a black one."""
    file = tmp_path / "a.mp4"
    heard = write(tmp_path / "heard.mp4", chirp(1.0))
    with av.open(str(heard)) as source, av.open(str(file), "w") as container:
        picture = container.add_stream("mpeg4", rate=5)
        picture.width = picture.height = 16
        sound = container.add_stream_from_template(source.streams.audio[0])
        for _ in range(5):
            container.mux(picture.encode(av.VideoFrame(16, 16, "yuv420p")))
        container.mux(picture.encode(None))
        for packet in source.demux(source.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = sound
                container.mux(packet)

    assert sound_of(file).duration_sec == pytest.approx(1.0, abs=0.05)


def test_silence_that_was_left_out_counts(tmp_path: Path) -> None:
    """LiveKit Egress writes nothing while a track is muted, and a player keeps time."""
    heard, file = write(tmp_path / "heard.mka", chirp(1.0)), tmp_path / "a.mka"
    with av.open(str(heard)) as source, av.open(str(file), "w") as container:
        stream = container.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.dts is not None and packet.pts is not None:
                muted = 2000 if packet.pts > 500 else 0  # both in milliseconds
                packet.pts, packet.dts = packet.pts + muted, packet.dts + muted
                packet.stream = stream
                container.mux(packet)

    assert sound_of(file).duration_sec == pytest.approx(3.0, abs=0.05)


def test_a_file_that_was_cut_is_as_long_as_what_is_left(tmp_path: Path) -> None:
    """Whatever its header promises."""
    whole = write(tmp_path / "whole.wav", chirp(2.0))
    cut = tmp_path / "cut.wav"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])

    assert sound_of(cut).duration_sec == pytest.approx(1.0, abs=0.05)


def test_a_damaged_place_does_not_hide_the_rest(tmp_path: Path) -> None:
    """It is counted."""
    file = write(tmp_path / "a.mp3", chirp(4.0))
    data = bytearray(file.read_bytes())
    data[8000:12000] = bytes(range(250)) * 16
    file.write_bytes(data)

    sound = sound_of(file)
    assert 2.5 < sound.duration_sec < 4.1
    assert sound.damaged > 0


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no sound file"),
        (b"This is a letter.\n" * 100, "no sound file"),
        (b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", "no sound file"),
        (b"ffconcat version 1.0\nfile whole.wav\n", "no sound file"),
    ],
)
def test_what_is_no_sound_file_says_so(tmp_path: Path, content: bytes, why: str) -> None:
    """A playlist, too: it would have other files read."""
    file = tmp_path / "a.mp3"
    file.write_bytes(content)

    with pytest.raises(NoSound, match=why):
        sound_of(file)


def test_an_mp4_that_was_never_finished_says_so(tmp_path: Path) -> None:
    """Its index, which comes last, is missing."""
    whole = write(tmp_path / "whole.mp4", chirp(2.0))
    file = tmp_path / "a.mp4"
    file.write_bytes(whole.read_bytes()[:2000])

    with pytest.raises(NoSound, match="no sound file"):
        sound_of(file)


def test_a_picture_alone_has_no_sound(tmp_path: Path) -> None:
    """The container is fine."""
    file = tmp_path / "a.mp4"
    with av.open(str(file), "w") as container:
        picture = container.add_stream("mpeg4", rate=5)
        picture.width = picture.height = 16
        container.mux(picture.encode(av.VideoFrame(16, 16, "yuv420p")))
        container.mux(picture.encode(None))

    with pytest.raises(NoSound, match="there is no sound in it"):
        sound_of(file)


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    """In the system's words."""
    with pytest.raises(NoSound, match="it can't be read: No such file"):
        sound_of(tmp_path / "a.ogg")


def test_a_name_that_is_no_text_does_no_harm(tmp_path: Path) -> None:
    """Names of files are bytes."""
    file = tmp_path / os.fsdecode(b"\xff.ogg")
    write(tmp_path / "a.ogg", chirp(0.5)).rename(file)

    assert sound_of(file).duration_sec == pytest.approx(0.5, abs=0.05)
