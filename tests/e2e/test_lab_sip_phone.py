"""Telephones of the lab call each other over loopback, as they call livekit-sip."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import numpy as np
import pytest

from lab import sounds
from lab.ports import LOOPBACK, free_port
from lab.sip.transactions import NoAnswer, Timers
from lab.sip_phone import CallRefused, SipPhone

#: How alike a sound and what a telephone leaves of it are.
ALIKE = 0.95
#: Messages are sent again soon where the test is about that.
IMPATIENT = Timers(t1=0.05, t2=0.2)
CALLER, CALLED = "+15550100", "+15550101"


@contextlib.asynccontextmanager
async def ringing(**options: object) -> AsyncIterator[tuple[SipPhone, SipPhone]]:
    """A telephone that calls another, which rings."""
    async with SipPhone(CALLER, **options) as caller, SipPhone(CALLED, **options) as called:
        await caller.dial(CALLED, called.place)
        yield caller, called


@contextlib.asynccontextmanager
async def talking(**options: object) -> AsyncIterator[tuple[SipPhone, SipPhone]]:
    """Two telephones with a call between them."""
    async with ringing(**options) as (caller, called):
        await called.answer()
        await caller.answered()
        yield caller, called


def happened(phone: SipPhone) -> list[str]:
    """The names of what happened to it, in order."""
    return [happening.what for happening in phone.happenings]


def first_copies() -> Callable[[bytes], bool]:
    """Loses each message the first time that it is sent."""
    seen: set[bytes] = set()

    def is_new(datagram: bytes) -> bool:
        before = len(seen)
        seen.add(datagram)
        return len(seen) > before

    return is_new


async def test_a_call_rings_is_answered_and_ends() -> None:
    """Who is called learns by whom, and decides; who calls waits for it."""
    async with ringing() as (caller, called):
        rings = called.first("ringing")
        is_answered_already = caller.first("answered")
        await called.answer()
        await caller.answered()
        await caller.hang_up()
        await called.left()

    assert rings is not None
    assert rings.details == {"number": CALLER}
    assert is_answered_already is None
    assert happened(caller) == happened(called) == ["ringing", "answered", "left"]


async def test_words_are_heard_on_the_other_side() -> None:
    """Both ways at once, each sound alike and in one piece."""
    first, second = sounds.chirp(1), sounds.chirp(1, low=3400, high=400)
    async with talking() as (caller, called):
        await asyncio.gather(caller.say(first), called.say(second))
        await until_heard(called, first)
        await until_heard(caller, second)
        await caller.hang_up()
        at_called, at_caller = called.heard(), caller.heard()

    assert sounds.locate(at_called, first).score > ALIKE
    assert sounds.locate(at_caller, second).score > ALIKE
    assert all(piece.score > 0.9 for piece in sounds.follow(at_called, first))


async def test_first_words_are_said_by_themselves() -> None:
    """As soon as the call is answered; what is said while it rings waits until then."""
    word, more = sounds.chirp(0.5), sounds.chirp(0.5, low=3400, high=400)
    async with (
        SipPhone(CALLER, says=word) as caller,
        SipPhone(CALLED) as called,
    ):
        await caller.dial(CALLED, called.place)
        early = asyncio.create_task(caller.say(more))
        await called.answer()
        await caller.said()
        utterance = await early
        answered = caller.first("answered")
        await until_heard(called, word)
        await until_heard(called, more)

    assert answered is not None
    assert utterance.started_at >= answered.at
    assert utterance.samples == len(more)


async def test_a_beep_a_second_is_heard_a_second_apart() -> None:
    """Timestamps place them, whatever the machine did meanwhile."""
    async with talking() as (caller, called):
        await caller.say(sounds.beeps(3))
        await until_heard(called, sounds.beeps(3)[: 2 * sounds.RATE + sounds.RATE // 5])
        beeps = sounds.find_beeps(called.heard())

    assert [beep.number for beep in beeps] == [0, 1, 2]
    assert np.diff([beep.at for beep in beeps]) == pytest.approx([1, 1], abs=0.005)


async def test_who_was_called_may_hang_up_too() -> None:
    """The caller learns it, and what it was about to say it cannot say any more."""
    async with talking() as (caller, called):
        await called.hang_up()
        left = await caller.left()
        with pytest.raises(ConnectionError):
            await caller.say(sounds.chirp(1))

    assert left.details == {"reason": "the other side hung up"}
    assert happened(caller).count("left") == 1


async def test_a_call_is_taken_back_while_it_rings() -> None:
    """CANCEL: it stops ringing there, and here it was never answered."""
    async with ringing() as (caller, called):
        await caller.hang_up()
        left = await called.left()

    assert left.details == {"reason": "taken back"}
    assert happened(called) == ["ringing", "left"]
    assert happened(caller) == ["ringing", "refused", "left"]


async def test_a_call_is_taken_back_although_nobody_says_yes_to_that() -> None:
    """What counts is how the call ends: there are servers that do not answer CANCEL itself."""

    def is_yes(datagram: bytes) -> bool:
        return datagram.startswith(b"SIP/2.0") and b"CSeq: 1 CANCEL" in datagram

    async with ringing(loses=is_yes) as (caller, called):
        await caller.hang_up()
        await called.left()

    assert happened(caller) == ["ringing", "refused", "left"]


async def test_who_is_answered_while_taking_it_back_has_a_call_and_ends_it() -> None:
    """The answer and CANCEL cross: neither side is left with half a call."""
    async with ringing() as (caller, called):
        await called.answer()
        await caller.hang_up()
        await called.left()

    assert "answered" in happened(called)
    assert happened(caller)[-1] == "left"


async def test_who_talks_is_busy() -> None:
    """A third one hears so, and disturbs nobody."""
    async with talking() as (caller, called), SipPhone("+15550102") as third:
        with pytest.raises(CallRefused, match="486 Busy Here"):
            await third.dial(CALLED, called.place)
        await caller.say(sounds.chirp(0.3))
        goes_on = called.first("left") is None

    assert goes_on
    assert happened(third) == ["refused", "left"]


async def test_a_call_can_be_refused() -> None:
    """After it rang."""
    async with ringing() as (caller, called):
        called.refuse(603, "Decline")
        refused = await caller.reached("refused")

    assert refused.details == {"status": 603, "reason": "Decline"}
    assert caller.first("answered") is None


async def test_what_gets_lost_is_sent_again() -> None:
    """Each message of either side is lost once: the call comes and ends all the same, once."""
    async with talking(timers=IMPATIENT, loses=first_copies()) as (caller, called):
        await caller.say(sounds.chirp(0.3))
        await caller.hang_up()
        await called.left()

    assert happened(caller) == ["ringing", "answered", "said", "left"]
    assert happened(called) == ["ringing", "answered", "left"]


async def test_a_call_is_taken_back_although_messages_get_lost() -> None:
    """CANCEL and the refusal of the call are repeated too."""
    async with ringing(timers=IMPATIENT, loses=first_copies()) as (caller, called):
        await caller.hang_up()
        await called.left()

    assert happened(called) == ["ringing", "left"]


async def test_where_nobody_is_there_is_no_answer() -> None:
    """After having asked often enough, and no more."""
    sent: list[bytes] = []

    def count(datagram: bytes) -> bool:
        sent.append(datagram)
        return False

    timers = Timers(t1=0.005)
    async with SipPhone(CALLER, timers=timers, loses=count) as caller:
        with pytest.raises(NoAnswer, match="INVITE"):
            await caller.dial(CALLED, (LOOPBACK, free_port()))

    assert len(sent) == 7
    assert set(sent) == {sent[0]}


async def test_keys_are_heard_as_keys() -> None:
    """Each once, although its end is told three times; between words."""
    async with talking() as (caller, called):
        await caller.send_dtmf("12#")
        async with asyncio.timeout(30):
            while called.keys != "12#":
                await asyncio.sleep(0.02)
        await caller.say(sounds.chirp(0.5))
        await until_heard(called, sounds.chirp(0.5))


async def until_heard(phone: SipPhone, sound: sounds.PCM) -> None:
    """Wait until all of a sound has come."""
    async with asyncio.timeout(30):
        while True:
            heard = phone.heard()
            if len(heard) > len(sound):
                found = sounds.locate(heard, sound)
                if found.score > ALIKE and found.at * sounds.RATE + len(sound) <= len(heard):
                    return
            await asyncio.sleep(0.05)
