"""The ground that the other end-to-end tests stand on: servers, phones, sounds and faults."""

from lab.phones import Agent, Phone
from lab.servers import LiveKit
from lab.sounds import chirp


async def test_a_phone_rings_until_an_agent_is_heard(livekit_server, room_name):
    """As with livekit-sip: it publishes while it rings, and an audio track answers it."""
    async with Phone(livekit_server, room_name, number="+15550100", says=chirp(0.5)) as phone:
        await phone.reached("published")
        rings = phone.attributes["sip.callStatus"]
        async with Agent(livekit_server, room_name, identity="agent") as agent:
            answered = await phone.answered()
            said = await phone.said()

    assert rings == "ringing"
    assert answered.at > agent.first("joined").at
    assert said.details["started_at"] > answered.at


async def test_a_livekit_server_restarts_on_its_ports():
    """Who knew its address before it was killed finds it there again."""
    async with LiveKit() as server:
        before = server.pid, server.url
        await server.kill()
        dead = server.is_running
        await server.start()
        async with Phone(server, "again", number="+15550101") as phone:
            joined = phone.first("joined")

    assert not dead
    assert (server.url, joined is not None) == (before[1], True)
