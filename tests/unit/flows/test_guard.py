"""Whether a database, a LiveKit and a recordings directory belong together."""

import pytest

from egress_manager.domain.identity import DatabaseIdentity, LiveKitIdentity, address_of
from egress_manager.errors import Conflict, LiveKitRefused, SettingsWrong, StoreUnavailable
from egress_manager.flows.sharing.adoption import Marks, adopt_directory, adopt_livekit
from egress_manager.flows.sharing.guard import UNDECIDED, Guard, check_directory
from egress_manager.testing import MemoryDirectoryMark, MemoryIdentities, MemoryLiveKitProof

PRODUCTION, STAGING = "http://production:7880", "http://staging:7880"


def livekit(address: str, key: str = "key", *more_keys: str) -> MemoryLiveKitProof:
    """A LiveKit as a manager sees it that has `key`."""
    return MemoryLiveKitProof(LiveKitIdentity(key, (address,)), {key, *more_keys})


def guard(
    identities: MemoryIdentities,
    server: MemoryLiveKitProof,
    directory: MemoryDirectoryMark | None = None,
) -> Guard:
    """A process that starts on that database with that LiveKit."""
    return Guard(Marks("egress_manager", identities, directory or MemoryDirectoryMark(), server))


async def opened(identities: MemoryIdentities, server: MemoryLiveKitProof) -> bool:
    """Whether such a process may use the database, after one look."""
    process = guard(identities, server)
    await process.look()
    return not process.why


async def mark_of(identities: MemoryIdentities) -> LiveKitIdentity | None:
    """The LiveKit that a database belongs to."""
    return (await identities.read()).livekit


@pytest.fixture
async def production() -> MemoryIdentities:
    """The database of the production's LiveKit."""
    identities = MemoryIdentities()
    assert await opened(identities, livekit(PRODUCTION))
    return identities


async def test_the_first_livekit_that_answers_gets_the_database() -> None:
    """An address with a slip of the pen does not: nobody answers there."""
    identities = MemoryIdentities()
    slip, right = livekit("http://productoin:7880"), livekit(PRODUCTION)
    slip.away = True

    first = guard(identities, slip)
    await first.look()
    assert (first.why, first.refusal, await mark_of(identities)) == ("", "", None)
    assert await opened(identities, right)
    assert await mark_of(identities) == right.own


async def test_a_livekit_that_refuses_the_key_gets_no_database() -> None:
    """A wrong secret is put right later."""
    identities, server = MemoryIdentities(), livekit(PRODUCTION, "wrong")
    server.keys = {"right"}

    assert await opened(identities, server)
    assert await mark_of(identities) is None


@pytest.mark.parametrize(
    ("server", "same_at", "is_own"),
    [
        (livekit(PRODUCTION), (), True),
        (livekit("https://production:7880"), (), True),
        (livekit("http://10.0.0.5:7880"), (PRODUCTION,), True),
        (livekit("http://10.0.0.5:7880"), (), False),
        (livekit(STAGING), (), False),
        (livekit(STAGING, "other"), (), False),
        (livekit(PRODUCTION, "other"), (), False),
        (livekit(PRODUCTION, "new", "key"), (), True),
        (livekit("http://10.0.0.5:7880", "new", "key"), (PRODUCTION,), True),
        (livekit("http://10.0.0.5:7880", "new"), (PRODUCTION,), False),
    ],
    ids=[
        "the same",
        "another scheme",
        "another address of the same server",
        "another address, and the old one does not answer",
        "another server with the same key",
        "another server with another key",
        "another server that is called the same",
        "a new key beside the old one",
        "a new key beside the old one, and another address",
        "another address, and a key that replaces the old one",
    ],
)
async def test_another_livekit_is_told_from_the_same_one(
    production: MemoryIdentities, server: MemoryLiveKitProof, same_at: tuple[str, ...], is_own: bool
) -> None:
    """What changed is proven by a LiveKit itself, or the process is refused."""
    server.at = set(same_at)
    process = guard(production, server)
    await process.look()

    assert (not process.why) is is_own
    assert bool(process.refusal) is not is_own


async def test_nothing_is_asked_while_nothing_has_changed(production: MemoryIdentities) -> None:
    """A start costs LiveKit no question, and works while LiveKit is away."""
    server = livekit(PRODUCTION)
    server.away = True

    assert await opened(production, server)
    assert server.asked == []


async def test_a_refusal_is_a_sentence_that_says_what_to_do(production: MemoryIdentities) -> None:
    """Which database, which LiveKit it belongs to, and both ways out."""
    process = guard(production, livekit(STAGING))
    await process.look()

    for part in ("egress_manager", PRODUCTION, STAGING, "MONGO_DB", "adopt livekit --yes"):
        assert part in process.refusal


async def test_who_is_refused_asks_nobody_again_until_the_mark_changes(
    production: MemoryIdentities,
) -> None:
    """Each proof opens a room: once is enough. When it is given over, the database opens."""
    server = livekit(STAGING)
    process = guard(production, server)
    for _ in range(3):
        await process.look()
    asked = len(server.asked)
    await adopt_livekit(process.marks)
    await process.look()

    assert asked == 1
    assert process.why == ""


async def test_a_process_that_runs_stops_working_when_its_database_is_given_away(
    production: MemoryIdentities,
) -> None:
    """It compares again and again."""
    process = guard(production, livekit(PRODUCTION))
    await process.look()
    staging = guard(production, livekit(STAGING))
    await adopt_livekit(staging.marks)
    await process.look()

    assert STAGING in process.refusal


async def test_the_stores_stay_closed_until_a_changed_livekit_answers(
    production: MemoryIdentities,
) -> None:
    """Nothing is written meanwhile, and nobody is refused for that."""
    server = livekit("http://10.0.0.5:7880")
    server.at, server.away = {PRODUCTION}, True
    process = guard(production, server)
    await process.look()
    closed = (process.why, process.refusal)
    server.away = False
    await process.look()

    assert closed == (UNDECIDED, "")
    assert process.why == ""


async def test_the_stores_are_closed_while_the_database_is_away(
    production: MemoryIdentities,
) -> None:
    """At the start nobody knows whose it is; later it stays as it was."""
    production.away = True
    process = guard(production, livekit(PRODUCTION))
    with pytest.raises(StoreUnavailable):
        await process.look()
    assert process.why == UNDECIDED

    production.away = False
    await process.look()
    production.away = True
    with pytest.raises(StoreUnavailable):
        await process.look()
    assert process.why == ""


async def test_a_key_that_was_replaced_may_go_when_every_process_has_the_new_one(
    production: MemoryIdentities,
) -> None:
    """While LiveKit has both, each process proves itself with either."""
    assert await opened(production, livekit(PRODUCTION, "new", "key"))
    assert await opened(production, livekit(PRODUCTION, "key", "new"))
    assert await opened(production, livekit(PRODUCTION, "new", "key"))

    assert await opened(production, livekit(PRODUCTION, "new"))
    assert not await opened(production, livekit(PRODUCTION, "key"))


async def test_a_key_that_livekit_refuses_takes_no_place_in_the_mark(
    production: MemoryIdentities,
) -> None:
    """It is the same LiveKit, and the key of these settings is wrong, or was taken away."""
    server = livekit(PRODUCTION, "wrong")
    server.keys = {"key"}
    process = guard(production, server)
    before = production.mark
    await process.look()

    assert (process.why, process.refusal) == (UNDECIDED, "")
    assert production.mark == before


async def test_a_database_that_is_emptied_beneath_a_process_is_still_its_own(
    production: MemoryIdentities,
) -> None:
    """Somebody drops it: it gets its mark back, and its directory fits."""
    process = guard(production, livekit(PRODUCTION))
    await process.look()
    before, production.mark, production.next_id = production.mark, None, "new"
    await process.look()

    assert process.why == ""
    assert production.mark == before


async def test_a_directory_belongs_to_the_first_database() -> None:
    """The second one is refused, with a sentence that says what to do."""
    directory = MemoryDirectoryMark()
    first, second = (MemoryIdentities(mark=DatabaseIdentity(name)) for name in ("one", "two"))
    own = guard(first, livekit(PRODUCTION), directory)
    other = guard(second, livekit(PRODUCTION), directory)
    await own.look()
    await other.look()

    assert (own.why, await mark_of(second)) == ("", None)
    for part in (directory.path, "one", "two", "RECORDINGS_DIR", "adopt recordings --yes"):
        assert part in other.refusal
    with pytest.raises(SettingsWrong):
        await check_directory(other.marks)


async def test_a_directory_is_given_to_another_database_on_purpose() -> None:
    """From then on the first one is refused."""
    directory = MemoryDirectoryMark(database="one")
    second = guard(MemoryIdentities(mark=DatabaseIdentity("two")), livekit(PRODUCTION), directory)
    await adopt_directory(second.marks)
    await second.look()

    assert (second.why, directory.database) == ("", "two")


async def test_one_more_address_of_the_same_livekit_is_added_on_purpose(
    production: MemoryIdentities,
) -> None:
    """Two hosts may reach one LiveKit at addresses of their own."""
    other = guard(production, livekit("http://10.0.0.5:7880"))
    await adopt_livekit(other.marks, also=True)

    assert await opened(production, livekit("http://10.0.0.5:7880"))
    assert await opened(production, livekit(PRODUCTION))


async def test_a_database_is_not_given_to_a_livekit_that_refuses_the_key(
    production: MemoryIdentities,
) -> None:
    """It would belong to nobody."""
    server = livekit(STAGING)
    server.keys = set()
    with pytest.raises(LiveKitRefused):
        await adopt_livekit(guard(production, server).marks)


async def test_of_two_who_give_it_away_at_once_one_is_told(production: MemoryIdentities) -> None:
    """Its mark is the other one's."""

    class Overtaken(MemoryIdentities):
        async def save(
            self, before: DatabaseIdentity, livekit: LiveKitIdentity
        ) -> DatabaseIdentity:
            return await production.read()

    with pytest.raises(Conflict):
        await adopt_livekit(guard(Overtaken(mark=production.mark), livekit(STAGING)).marks)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("ws://LiveKit:7880", "http://livekit:7880"),
        ("http://livekit:80/", "http://livekit"),
        ("wss://livekit.example.com", "https://livekit.example.com"),
        ("https://livekit.example.com:443", "https://livekit.example.com"),
        ("ws://127.0.0.1:7880", "http://localhost:7880"),
        ("ws://[::1]:7880", "http://localhost:7880"),
        ("ws://[fd00::5]:7880", "http://[fd00::5]:7880"),
        ("wss://example.com/livekit/", "https://example.com/livekit"),
    ],
)
def test_an_address_is_the_same_however_it_is_written(url: str, address: str) -> None:
    """Case, default ports, names of this host, and the scheme of signalling."""
    assert address_of(url) == address
