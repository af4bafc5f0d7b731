"""Whatever a room and its callers are called, a call's life is that of any other."""

from pathlib import PurePosixPath

from hypothesis import example, given
from hypothesis import strategies as st

from egress_manager.domain.incoming import Room, Source
from egress_manager.domain.policy import Policy
from egress_manager.ports import CallFilter, RecordingFilter
from tests.story.conftest import in_memory

#: Text that a store can keep: half characters never come as far as this.
words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300)
hostile = words | st.sampled_from(
    [
        *("..", "../../etc/passwd", "/etc/passwd", ".hidden", "-rf", "CON", "nul.txt", " ", "\x00"),
        *("{track_id}", "$(reboot)", "=1+1", "%2e%2e%2f", "\u202eabc", "a\\b", "x" * 300),
    ]
)


@given(hostile, hostile)
@example("..", "..")
@example("\x00" * 300, "rec_0123456789abcdef0123")
async def test_a_call_with_any_name_ends_in_a_file_in_its_place(room: str, identity: str) -> None:
    """It is found by the room's name, and its file lies below the directory."""
    tale = in_memory(Policy())
    caller, where = tale.caller(identity=identity), Room(room, "RM_1")
    await tale.sees(caller, room=where)
    await tale.sees(caller, Source.CAPTURE, capture="cap_1", room=where)
    tale.clock.pass_(seconds=30)
    await tale.loses(caller, room=where)
    await tale.works()

    (call,) = (await tale.calls.page(CallFilter(room), cursor=None, limit=9)).items
    (found,) = (await tale.recordings.page(RecordingFilter(room), cursor=None, limit=9)).items

    assert (call.identity, found.call_id, found.status) == (identity, call.id, "completed")
    path = PurePosixPath(found.filepath or "")
    assert path.is_relative_to("/recordings")
    assert not {".", ".."} & set(path.parts)
    assert all(part.isprintable() for part in path.parts)
