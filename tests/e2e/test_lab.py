"""The ground that the other end-to-end tests stand on: servers, phones, sounds and faults."""

import asyncio
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from pymongo import AsyncMongoClient, WriteConcern

from lab import programs
from lab.disk import NoDisk, disk, fill
from lab.listeners import Listener
from lab.phones import Agent, Answer, Manner, SipParticipant
from lab.plans import Address, Line, Part, Plan
from lab.ports import LOOPBACK
from lab.processes import ServerFailed
from lab.relay import Weather
from lab.servers import LiveKit, Mongod, Redis
from lab.sounds import RATE, beeps, chirp, find_beeps, follow, locate, silence, speech
from lab.theatre import Stage
from lab.wire import Wire

TALK = speech(60)


async def test_a_phone_rings_until_an_agent_is_heard(livekit_server, room_name):
    """As with livekit-sip: it publishes while it rings, and an audio track answers it."""
    async with SipParticipant(
        livekit_server, room_name, number="+15550100", says=chirp(0.5)
    ) as phone:
        await phone.reached("published")
        rings = phone.attributes["sip.callStatus"]
        async with Agent(livekit_server, room_name, identity="agent") as agent:
            answered = await phone.answered()
            said = await phone.said()

    assert rings == "ringing"
    assert answered.at > agent.first("joined").at
    assert said.details["started_at"] > answered.at


async def test_all_that_a_phone_says_reaches_who_has_subscribed(livekit_server, room_name):
    """From the first word on."""
    async with (
        Listener(livekit_server, room_name) as listener,
        SipParticipant(
            livekit_server, room_name, number="+15550100", answer=Answer.AT_ONCE
        ) as phone,
    ):
        await phone.reached("subscribed")
        said = await phone.say(beeps(3))
        await listener.hears_nothing(phone.identity)
        heard = listener.heard(phone.identity)

    assert [beep.number for beep in find_beeps(heard)] == [0, 1, 2]
    assert said.ended_at - said.started_at == pytest.approx(3, abs=0.2)


async def test_sound_of_an_encrypted_room_needs_the_key(livekit_server, room_name):
    """With the key it is heard; the manner of a participant decides who has it."""
    manner = Manner(key=b"a secret of two")
    async with (
        Agent(livekit_server, room_name, identity="agent", says=TALK, manner=manner),
        Listener(livekit_server, room_name, key=b"a secret of two") as insider,
        Listener(livekit_server, room_name, identity="outsider") as outsider,
    ):
        await insider.hears("agent")
        heard_outside = outsider.heard("agent")

    assert locate(heard_outside, TALK[:RATE]).score < 0.3


async def test_a_stage_plays_in_another_process_and_tells_what_happened(livekit_server, room_name):
    """Every part is reported with wall-clock times, in the order that things happened."""
    phone = Part(room=room_name, number="+15550100", lines=(Line(sound="beeps:1"),))
    agent = Part(room=room_name, kind="agent", identity="agent", leaves_at=4.0)
    async with Stage(livekit_server, [phone, agent]) as stage:
        await stage.reached("answered", who=phone.who)
        reports = await stage.over()

    told = [report["what"] for report in reports if report.get("who") == phone.who]
    assert told == ["joined", "published", "answered", "said", "left"]


async def test_a_stage_says_which_part_failed(livekit_server, room_name):
    """A part that cannot be played does not pass for one that was."""
    part = Part(room=room_name, number="+15550100", lines=(Line(sound="moo:1"),))
    async with Stage(livekit_server, [part]) as stage:
        with pytest.raises(ServerFailed, match="moo"):
            await stage.over()


async def test_the_wire_loses_sound_and_heals(livekit_server, room_name):
    """Cut, it lets nothing through; healed, the same connection goes on."""
    async with (
        Wire(livekit_server) as wire,
        Agent(livekit_server, room_name, identity="agent", says=TALK),
        Listener(wire, room_name) as listener,
    ):
        await listener.hears("agent")
        wire.cut_media()
        await listener.hears_nothing("agent")
        wire.heal_media()
        await listener.hears("agent")
        wire.drop(1.0)
        await listener.hears_nothing("agent")
        wire.drop(0.0)
        await listener.hears("agent")

        assert wire.counts["lost"] > 0
        assert listener.first("left") is None


async def test_a_client_comes_back_when_its_signal_connection_was_cut(livekit_server, room_name):
    """While it is cut nobody gets in; healed, the SDK finds its way back."""
    async with (
        Wire(livekit_server) as wire,
        Agent(livekit_server, room_name, identity="agent", says=TALK),
        Listener(wire, room_name) as listener,
    ):
        await listener.hears("agent")
        wire.cut_signal()
        await _until(lambda: wire.signals == 0)
        wire.heal_signal()
        await _until(lambda: wire.signals == 1)
        await listener.hears("agent")


async def test_media_goes_by_tcp_when_the_wire_offers_nothing_else(livekit_server, room_name):
    """Not one datagram passes the relay, and sound arrives."""
    async with (
        Wire(livekit_server, transport="tcp") as wire,
        Agent(livekit_server, room_name, identity="agent", says=TALK),
        Listener(wire, room_name) as listener,
    ):
        await listener.hears("agent")

        assert wire.counts.total() == 0


async def test_a_livekit_server_is_found_again_where_it_was_killed():
    """Who knew its address finds the next one there."""
    async with LiveKit() as server:
        before = server.pid
        await server.kill()
        is_dead = not server.is_running
        await server.start()
        async with SipParticipant(server, "again", number="+15550101") as phone:
            has_joined = phone.first("joined") is not None

        assert is_dead
        assert has_joined
        assert server.pid != before


async def test_mongod_keeps_what_it_acknowledged_when_it_is_killed():
    """A journaled write is there after SIGKILL and a start on the same files."""
    async with Mongod() as mongod:
        await _insert(mongod, "kept")
        await mongod.kill()
        await mongod.start()
        found = await _insert(mongod, "again")

    assert found == ["again", "kept"]


async def test_redis_keeps_its_data_over_a_restart():
    """As one with persistence does."""
    async with Redis() as redis:
        await _redis(redis, "SET color orange")
        await redis.kill()
        await redis.start()
        answer = await _redis(redis, "GET color")

    assert answer == b"$6\r\norange\r\n"


async def test_a_paused_server_answers_nobody_until_it_is_resumed():
    """Its port is open all the while, which is what makes it interesting."""
    async with Redis() as redis:
        redis.pause()
        answers_paused = await redis.answers()
        redis.resume()
        answers_resumed = await redis.answers()

    assert (answers_paused, answers_resumed) == (False, True)


async def test_a_server_that_cannot_start_says_why():
    """The error ends with what the server wrote last."""
    with pytest.raises(ServerFailed, match="not_a_setting"):
        async with LiveKit(room={"not_a_setting": 1}):
            pass


def test_servers_end_with_the_process_that_started_them():
    """Even when that is killed and can tidy up nothing."""
    code = (
        "import asyncio, os, signal\n"
        "from lab.servers import Redis\n"
        "redis = Redis(); asyncio.run(redis.start())\n"
        "print(redis.pid, redis.directory, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=programs.ROOT, capture_output=True, text=True, timeout=30
    )
    pid, directory = done.stdout.split()
    try:
        # The kernel has sent the signal by now; give the process a moment to be gone.
        asyncio.run(_until(lambda: not _is_alive(int(pid))))
    finally:
        subprocess.run(["rm", "-r", directory], check=True)


def test_a_plan_is_the_same_after_it_was_written_down():
    """What the other process reads is what was meant."""
    line = Line(sound="chirp:2", pause=0.5)
    part = Part(room="call", number="+15550100", lines=(line,), attributes={"tenant": "acme"})
    plan = Plan(Address("ws://127.0.0.1:7880", "key", "secret"), (part,))

    assert Plan.from_json(plan.to_json()) == plan


def test_the_same_seed_loses_the_same_packets():
    """A failure that was seen once can be seen again."""
    once, again, other = (_fates(Weather(lost=0.3, doubled=0.2, seed=seed)) for seed in (1, 1, 2))

    assert once == again
    assert once != other
    assert once.count([]) == pytest.approx(300, abs=50)


def test_beeps_are_found_and_numbered():
    """To a millisecond."""
    recording = np.concatenate([silence(0.25), beeps(3)])

    found = find_beeps(recording)

    assert [beep.number for beep in found] == [0, 1, 2]
    assert [beep.at for beep in found] == pytest.approx([0.25, 1.25, 2.25], abs=0.001)


def test_a_hole_in_a_chirp_is_told_from_the_rest():
    """Pieces that are there fit where they should; those that were lost do not."""
    said = chirp(2)
    recording = np.concatenate([silence(0.1234), said])
    recording[round(0.9 * RATE) : round(1.3 * RATE)] = 0

    pieces = follow(recording, said)

    lost = [piece.said_at for piece in pieces if piece.score < 0.8]
    kept = [piece.found_at - piece.said_at for piece in pieces if piece.score > 0.99]
    assert lost == pytest.approx([0.8, 1.0])
    assert kept == pytest.approx([0.1234] * len(kept), abs=0.0005)


def test_a_disk_is_full_when_it_is_full():
    """A write beyond its size fails as on any full disk; freed space can be used again."""
    with _disk(megabytes=1) as path:
        ballast = fill(path)
        with pytest.raises(OSError, match="No space left"):
            (path / "more").write_bytes(b"x" * 4096)
        ballast.unlink()
        (path / "more").write_bytes(b"x" * 4096)

    assert not path.exists()


def _fates(weather):
    return [weather.delays() for _ in range(1000)]


@contextmanager
def _disk(megabytes):
    try:
        with disk(megabytes) as path:
            yield path
    except NoDisk as reason:
        pytest.skip(str(reason))


async def _until(condition, timeout=15.0):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def _insert(mongod, name):
    """Insert a document, journaled; returns all names there are."""
    async with AsyncMongoClient(mongod.uri) as client:
        things = client.get_database("lab").get_collection(
            "things", write_concern=WriteConcern(w="majority", j=True)
        )
        await things.insert_one({"name": name})
        return sorted([thing["name"] async for thing in things.find()])


async def _redis(redis, command):
    """The whole answer to one command."""
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection(LOOPBACK, redis.port)
        writer.write(f"{command}\r\nQUIT\r\n".encode())
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    return answer.removesuffix(b"+OK\r\n")


def _is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A process that nobody has waited for is dead all the same.
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
