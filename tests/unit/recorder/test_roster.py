"""Who is in a room, as LiveKit's messages tell."""

from hypothesis import given
from hypothesis import strategies as st
from livekit.protocol import models

from egress_manager.domain.captures import (
    ParticipantChanged,
    ParticipantGone,
    TrackChanged,
    TrackGone,
)
from egress_manager.recorder.roster import TAIL, Roster

Info = models.ParticipantInfo


def person(sid: str = "PA_1", identity: str = "sip_1", *tracks: str, **fields) -> Info:
    """Somebody who is there and publishes these tracks."""
    published = [
        models.TrackInfo(sid=sid, type=models.AUDIO, mime_type="audio/OPUS") for sid in tracks
    ]
    settings = {"state": Info.ACTIVE, "kind": Info.SIP} | fields
    return Info(sid=sid, identity=identity, tracks=published, **settings)


def gone(sid: str = "PA_1", identity: str = "sip_1") -> Info:
    return Info(
        sid=sid,
        identity=identity,
        state=Info.DISCONNECTED,
        disconnect_reason=models.CLIENT_INITIATED,
    )


def kinds(news) -> list[type]:
    return [type(entry) for entry in news]


def test_somebody_who_comes_is_told_with_their_tracks():
    """In the journal's words: seconds, lower-case MIME types, LiveKit's kind."""
    news = Roster().see(
        person("PA_1", "sip_1", "TR_1", name="Phone 1", joined_at_ms=1500, attributes={"a": "b"}),
        7.0,
    )

    assert news == [
        ParticipantChanged(
            at=7.0,
            participant_sid="PA_1",
            identity="sip_1",
            name="Phone 1",
            kind="SIP",
            attributes={"a": "b"},
            joined_at=1.5,
        ),
        TrackChanged(at=7.0, track_sid="TR_1", participant_sid="PA_1"),
    ]


def test_who_leaves_stays_until_their_last_packets_have_come():
    """First their tracks are gone, then they are."""
    roster = Roster()
    roster.see(person("PA_1", "sip_1", "TR_1"), 1.0)

    assert roster.see(gone(), 2.0) == []
    assert roster.due(2.0 + TAIL / 2) == []
    assert roster.due(2.0 + TAIL) == [
        TrackGone(2.0, "TR_1"),
        ParticipantGone(2.0, "PA_1", "sip_1", "client_initiated"),
    ]
    assert (roster.people, roster.tracks) == ({}, {})


def test_late_news_do_not_bring_back_who_has_left():
    """A participant's sid is never used again."""
    roster = Roster()
    roster.see(person(), 1.0)
    roster.see(gone(), 2.0)
    roster.due(3.0)

    assert roster.see(person(), 4.0) == []
    assert roster.people == {}


def test_a_track_that_is_not_listed_any_more_is_gone_after_its_tail():
    """Unpublishing is told by what is missing from the list."""
    roster = Roster()
    roster.see(person("PA_1", "sip_1", "TR_1", "TR_2"), 1.0)
    roster.see(person("PA_1", "sip_1", "TR_2"), 2.0)

    assert roster.due(2.0) == []
    assert roster.due(2.0 + TAIL) == [TrackGone(2.0, "TR_1")]
    assert list(roster.tracks) == ["TR_2"]


def test_an_identity_that_comes_again_with_another_sid_has_left_before():
    """LiveKit throws the first one out; should it not say so, we know all the same."""
    roster = Roster()
    roster.see(person("PA_1", "sip_1"), 1.0)
    roster.see(person("PA_2", "sip_1"), 2.0)

    assert roster.due(3.0) == [ParticipantGone(2.0, "PA_1", "sip_1", "duplicate_identity")]
    assert list(roster.people) == ["PA_2"]


def test_who_is_missing_after_we_have_come_back_has_left_meanwhile():
    """Who is still there is not told as new."""
    roster = Roster()
    roster.see(person("PA_1", "sip_1"), 1.0)
    roster.see(person("PA_2", "agent", kind=Info.AGENT), 1.0)
    news = roster.see_all([person("PA_2", "agent", kind=Info.AGENT)], 5.0)

    assert kinds(news) == [ParticipantChanged]
    assert roster.due(6.0) == [ParticipantGone(5.0, "PA_1", "sip_1", "missing_on_rejoin")]


def test_who_was_missing_and_is_listed_again_has_not_left():
    """A server that has just restarted may list people one by one."""
    roster = Roster()
    roster.see(person(), 1.0)
    roster.see_all([], 5.0)
    roster.see(person(), 5.0 + TAIL / 2)

    assert roster.due(9.0) == []
    assert list(roster.people) == ["PA_1"]


def test_recorders_and_video_are_not_on_the_roster():
    """Neither ours nor an egress."""
    roster = Roster()
    camera = models.TrackInfo(sid="TR_V", type=models.VIDEO)
    news = [
        *roster.see(person("PA_1", "egress", kind=Info.EGRESS), 1.0),
        *roster.see(person("PA_2", "ours", permission={"recorder": True}), 1.0),
        *roster.see(Info(sid="PA_3", identity="cam", tracks=[camera]), 1.0),
    ]

    assert kinds(news) == [ParticipantChanged]
    assert (list(roster.people), roster.tracks) == (["PA_3"], {})


def test_kinds_and_reasons_of_a_newer_server_do_not_matter():
    """A number that has no name yet is told as a number."""
    roster = Roster()
    [news] = roster.see(person(kind=77), 1.0)
    leaving = gone()
    leaving.disconnect_reason = 88
    roster.see(leaving, 2.0)

    assert news.kind == "77"
    assert roster.due(3.0)[-1].reason == "88"


sids = st.sampled_from(["PA_1", "PA_2", "PA_3"])
messages = st.lists(
    st.one_of(
        st.builds(gone, sids),
        st.builds(
            lambda sid, tracks: person(sid, sid, *(f"TR_{sid}_{n}" for n in tracks)),
            sids,
            st.sets(st.integers(1, 3)),
        ),
    ),
    max_size=30,
)


@given(messages)
def test_everything_that_came_goes_and_nothing_stays_behind(infos):
    """Whatever is told in whatever order, at the end the roster is empty and all is told gone."""
    roster = Roster()
    news = [entry for at, info in enumerate(infos) for entry in roster.see(info, float(at))]
    roster.everybody_left(99.0, "over")
    news += roster.due(float("inf"))

    came = {entry.participant_sid for entry in news if isinstance(entry, ParticipantChanged)}
    left = [entry.participant_sid for entry in news if isinstance(entry, ParticipantGone)]
    assert sorted(left) == sorted(came)
    assert (roster.people, roster.tracks, roster.due(float("inf"))) == ({}, {}, [])


def test_who_is_leaving_is_not_present_and_who_changes_is_there_since_it_came():
    """The server has said that the first one left; the tail of its sound is yet to come."""
    roster = Roster()
    roster.see(person("PA_1", "sip_1"), 1.0)
    roster.see(person("PA_2", "agent"), 2.0)
    roster.see(person("PA_2", "agent", name="another"), 3.0)
    roster.see(gone("PA_1", "sip_1"), 4.0)

    assert [each.participant_sid for each in roster.present] == ["PA_2"]
    assert roster.since["PA_2"] == 2.0

    roster.due(4.0 + TAIL)
    assert roster.since == {"PA_2": 2.0}
