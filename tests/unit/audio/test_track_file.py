"""A track's own file: packets as they came, and silence that keeps the time."""

from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress_manager.audio import ogg, opus
from egress_manager.audio.track_file import OFF, OFF_IN_SILENCE, TrackWriter, corrected
from egress_manager.audio.waveform import peaks, text_waveform
from egress_manager.audio.weave import Piece
from egress_manager.domain.captures import TICKS, Stretch, StretchBegan
from egress_manager.domain.timeline import Placement
from tests.unit.audio import made_up


class Placed:
    """Stands for a strand: what a track file asks of it."""

    def __init__(self, origin_at: float, drift_ppm: float = 0.0) -> None:
        self.placement = Placement(origin_at, drift_ppm)
        self.stretch = Stretch(StretchBegan(origin_at, 1, "f", "TR", "PA", 1, 0))

    def piece(self, start: int, packets: list[bytes], lost: int = 0) -> Piece:
        end = start + sum(map(opus.duration, packets))
        at = self.placement.at
        return Piece(self, start, end, at(start), at(end), tuple(packets), lost)


def written(path, pieces, begins_at: float, ends_at: float) -> list[ogg.Page]:
    """The pages of the file that is made of those pieces."""
    for _ in TrackWriter(path, begins_at, ends_at).write(pieces):
        pass
    return ogg.read_pages(path.read_bytes())


def talk(seconds: float) -> list[bytes]:
    """Packets of something like speech."""
    return [p for p in made_up.payloads(made_up.Line("x", made_up.babble(seconds + 0.1))) if p][
        : round(seconds * 50)
    ]


def test_every_packet_is_kept_as_it_came(tmp_path):
    """Nothing is coded anew."""
    packets = talk(3.0)

    pages = written(tmp_path / "t.ogg", [Placed(100.0).piece(0, packets)], 100.0, 103.0)

    kept = [packet for page in pages if not page.is_head for packet in page.packets]
    assert kept[: len(packets)] == packets
    assert [page.sequence for page in pages] == list(range(len(pages)))
    assert pages[-1].is_last


@given(
    start=st.floats(-3.0, 4.0),
    length=st.floats(0.5, 6.0),
    holes=st.lists(st.integers(1, 100_000), max_size=4),
    ppm=st.sampled_from([-400.0, 0.0, 90.0]),
)
def test_a_file_lasts_as_long_as_the_call_whatever_came(
    tmp_path_factory, start, length, holes, ppm
):
    """Granules never go back, and what is played is the call's length to the sample."""
    path = tmp_path_factory.mktemp("t") / "t.ogg"
    strand = Placed(100.0 + start, ppm)
    pieces, granule = [], 0
    for hole in [0, *holes]:
        granule += hole
        pieces.append(strand.piece(granule, [opus.silent_packet(960)] * 20, lost=hole % 2))
        granule = pieces[-1].end

    pages = written(path, pieces, 100.0, 100.0 + length)

    granules = [page.granule for page in pages]
    pre_skip = int.from_bytes(pages[0].packets[0][10:12], "little")
    assert granules == sorted(granules)
    assert granules[-1] - pre_skip == round(length * TICKS)
    held = sum(opus.duration(p) for page in pages if not page.is_head for p in page.packets)
    assert held >= granules[-1]


@given(st.integers(-3000, 3000), st.booleans())
def test_a_correction_brings_packets_nearer_to_their_place(off, quiet):
    """And nothing is done where it is not worth it."""
    packets = [b"\x78" + b"s" * 50] * 10 + [opus.silent_packet(960) if quiet else b"\x78abcdef"] * 3
    before = sum(map(opus.duration, packets))

    after = sum(map(opus.duration, corrected(packets, off, stereo=False)))

    assert abs(off - (after - before)) <= abs(off)
    if abs(off) < OFF_IN_SILENCE or (abs(off) < OFF and not quiet):
        assert after == before
    elif off > -960:
        assert abs(off - (after - before)) < opus.SHORTEST


def test_packets_that_are_far_behind_their_place_come_one_by_one(tmp_path):
    """Pages of a packet each: of those that carry sound one of five gives way, and silent ones."""
    first, later = Placed(100.0), Placed(101.0)
    silent, loud = opus.silent_packet(960), talk(0.2)[:6]
    pieces = [first.piece(0, talk(2.0))]
    pieces += [later.piece(960 * n, [packet]) for n, packet in enumerate([silent, silent, *loud])]

    pages = written(tmp_path / "t.ogg", pieces, 100.0, 104.0)

    kept = [packet for page in pages if not page.is_head for packet in page.packets]
    assert kept[100:106] == [silent, *loud[:4], loud[5]]


def test_a_call_of_which_nothing_came_is_silent(tmp_path):
    """All pieces lie outside of the call."""
    path = tmp_path / "t.ogg"

    written(path, [Placed(90.0).piece(0, talk(1.0))], 100.0, 102.5)

    sound = made_up.decoded(path)
    assert sound.shape == (1, round(2.5 * TICKS))
    assert not sound.any()


def test_peaks_show_each_side_by_itself(tmp_path):
    """A picture of a file: who is loud when."""
    path = tmp_path / "two.wav"
    left = np.concatenate([made_up.silence(1.0), np.full(TICKS, 0.5, np.float32)])
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=TICKS, layout="stereo")
        samples = (np.stack([left, left[::-1]]) * 32767).astype(np.int16).T.reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="stereo")
        frame.sample_rate = TICKS
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))

    shown = peaks(path, per_second=10)

    assert shown.shape == (2, 20)
    assert shown[0] == pytest.approx([0.0] * 10 + [0.5] * 10, abs=1e-3)
    assert shown[1] == pytest.approx([0.5] * 10 + [0.0] * 10, abs=1e-3)
    lines = text_waveform(path, width=46).splitlines()
    assert (lines[0][:6], lines[1][:6]) == ("left  ", "right ")
    assert lines[0][6:26].strip() == ""
    assert lines[0].strip()[-1] == lines[1][6] != " "
    assert lines[2].split() == ["0:00", "0:02"]
    assert max(map(len, lines)) <= 46


def test_a_file_that_finds_no_room_is_not_left_open():
    """What waits to be written does not hold it, and neither does the error's traceback."""
    writer = TrackWriter(Path("/dev/full"), 100.0, 160.0)

    with pytest.raises(OSError, match="No space left"):
        list(writer.write([Placed(100.0).piece(0, talk(60.0))]))

    assert "/dev/full" not in {handle.resolve().as_posix() for handle in _handles()}


def _handles() -> list[Path]:
    return [handle for handle in Path("/proc/self/fd").iterdir() if handle.is_symlink()]
