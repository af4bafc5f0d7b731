"""A capture that goes on and on is followed by another, and nobody can hear where."""

from pathlib import Path

from egress_manager.audio.render import Render
from egress_manager.domain.recordings import RenderPlan
from lab import sounds
from lab.phones import Agent, SipParticipant
from lab.servers import LiveKit
from tests.e2e.attending import Studio, studio
from tests.e2e.listening import listen


async def test_a_rotated_capture_loses_nothing(
    livekit_server: LiveKit, room_name: str, tmp_path: Path
) -> None:
    """A word that is said across several captures is whole in the mix that is made of them."""
    words = sounds.chirp(4)
    async with studio(livekit_server, tmp_path, rotate_after=1.0) as recorder:
        recorder.attend(room_name)
        async with (
            Agent(livekit_server, room_name, identity="agent"),
            SipParticipant(livekit_server, room_name, number="+15550100") as phone,
        ):
            await phone.answered()
            await recorder.until_kept(phone.track_sid)
            await phone.say(words)
            sid = phone.sid
            await phone.hang_up()
        await recorder.over()
    recorded = _rendered(recorder, tmp_path, sid)

    pieces = sounds.follow(recorded, words)
    assert len(recorder.captures) >= 4
    assert min(piece.score for piece in pieces) > 0.6, "where they meet, the decoder begins anew"
    assert max(abs(p.found_at - p.said_at - pieces[0].found_at) for p in pieces) < 0.02


def _rendered(recorder: Studio, directory: Path, caller_sid: str) -> sounds.PCM:
    """The caller's side of the mix of all captures."""
    stories = [kept.story for kept in recorder.stories]
    starts = [story.began.at for story in stories if story.began]
    plan = RenderPlan(
        recording_id="rec_1",
        captures=tuple(f"captures/{capture.name}" for capture in recorder.captures),
        caller_sids=(caller_sid,),
        begins_at=min(starts),
        ends_at=max(story.last_at for story in stories),
        mix_filepath="mix.mp4",
        track_filepath="{track_id}.ogg",
    )
    for _ in Render(directory, plan).finish():
        pass
    return listen(directory / "mix.mp4").left
