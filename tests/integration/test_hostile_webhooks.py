"""Whatever is posted to the webhook: it is taken, refused or bad, and breaks nothing."""

import base64
import copy
import hashlib
import json
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import jwt
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from egress_manager.api.bodies import BODY_AT_MOST
from lab.events import signed, somebody_joins_now, webhooks_of_call
from lab.manager import KEY, Manager
from lab.servers import API_KEY, API_SECRET, LiveKit, Mongod
from lab.web import NO_TLS
from tests.integration.quietly import quietly

BODIES: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "unit" / "adapters" / "webhooks.json").read_text()
)
MIB = 2**20
#: What a hundred times as much may leave behind in the process. Bytes.
MEMORY = 32 * MIB
Json = dict[str, Any]

words = st.one_of(
    st.text(st.characters(), max_size=20),
    st.sampled_from(
        [
            *("", "\x00", "\ud800", "a\udfffb", "\u202eabc", "../../etc/passwd", "$where", "a.b"),
            *("-9223372036854775809", "1e400", "253402300799", "-62135596800", "-1", "1", "NaN"),
            *("x" * 5000, "[" * 5000, '{"phone": "\\ud800"}', '{"phone": {"a": 1}}'),
        ]
    ),
)
numbers = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from([2**31, 2**53 + 1, 2**63 - 1, -(2**63), 2**64, 10**30, 253402300799, 1e308]),
)
anything = st.recursive(
    st.none() | st.booleans() | numbers | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def events(draw: st.DrawFn) -> Json:
    """An event of LiveKit, of a call of its own, in which some values are something else."""
    body = copy.deepcopy(BODIES[draw(st.sampled_from(sorted(BODIES)))])
    mark = f"{time.time_ns():x}"
    body["id"] = f"EV_{mark}"
    person = body.get("participant", {})
    if isinstance(person.get("attributes"), dict):
        person["attributes"]["sip.callID"] = f"SCL_{mark}"
    for _ in range(draw(st.integers(1, 3))):
        part = body
        key = draw(st.sampled_from(sorted(part)))
        while isinstance(part[key], dict) and part[key] and draw(st.integers(0, 3)):
            part = part[key]
            key = draw(st.sampled_from(sorted(part)))
        part[key] = draw(anything)
    return body


@pytest.fixture(scope="module")
def livekit() -> LiveKit:
    """Nobody is there, and nobody opens a room by going there."""
    return LiveKit(room={"auto_create": False})


@pytest.fixture(scope="module")
def manager(mongod_server: Mongod, livekit: LiveKit) -> Iterator[Manager]:
    """A service that wants its webhooks signed."""
    service = Manager(
        livekit_url=livekit.http_url, mongo_uri=mongod_server.uri, mongo_db="test_hostile_webhooks"
    )
    with quietly(livekit, service):
        post(service, *signed(somebody_joins_now("houba"), API_KEY, API_SECRET))
        yield service


@pytest.fixture(scope="module")
def trusting(mongod_server: Mongod, manager: Manager) -> Iterator[Manager]:
    """One that takes them without a signature, too."""
    service = Manager(
        livekit_url=manager.livekit_url,
        mongo_uri=mongod_server.uri,
        mongo_db="test_hostile_webhooks_unsigned",
        settings={"EGRESS_MANAGER_ALLOW_UNSIGNED_WEBHOOKS": "yes"},
    )
    with quietly(service):
        yield service


def post(
    manager: Manager, body: bytes, signature: str | None = None, **headers: str
) -> httpx2.Response:
    """Post it, signed or not."""
    given = headers | ({} if signature is None else {"Authorization": signature})
    return httpx2.post(manager.webhook_url, content=body, headers=given, timeout=60, verify=NO_TLS)


def token(body: bytes, secret: str = API_SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    """A signature of that body, as right or wrong as is wanted."""
    now = time.time()
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    usual = {"iss": API_KEY, "nbf": now, "exp": now + 300, "sha256": digest}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jwt.warnings.InsecureKeyLengthWarning)
        return jwt.encode(usual | claims, secret, algorithm=algorithm)


class TestEvents:
    """Events in which anything stands anywhere."""

    @given(events())
    @settings(max_examples=150, deadline=None, derandomize=True, database=None)
    def test_signed_they_are_taken_or_bad(self, manager: Manager, event: Json) -> None:
        """The signature is right: then it is LiveKit's, or somebody has the key."""
        answer = post(manager, *signed(event, API_KEY, API_SECRET))

        assert answer.status_code in (200, 400)

    @given(events())
    @settings(max_examples=100, deadline=None, derandomize=True, database=None)
    def test_so_they_are_without_a_signature(self, trusting: Manager, event: Json) -> None:
        """Where the owner lets anybody try."""
        assert post(trusting, signed(event, API_KEY, API_SECRET)[0]).status_code in (200, 400)

    @pytest.mark.parametrize(
        "body",
        [
            *(b"", b"\x00", b"\xff\xfe{\x00}\x00", b'{"event": "\xed\xa0\x80"}', b"\xef\xbb\xbf{}"),
            *(b"[" * MIB, b'{"a":' * 100_000, b"9" * 10_000, b'{"event": ' + b"9" * 10_000 + b"}"),
            *(b"null", b'"event"', b'{"event": null}', b'{"event": "\\ud800"}', b"{}" * 1000),
        ],
        ids=lambda body: repr(body[:12]),
    )
    def test_what_is_no_event_is_bad(self, manager: Manager, body: bytes) -> None:
        """Signed as it is."""
        answer = post(manager, body, token(body))

        assert answer.status_code == 400
        assert answer.json()["code"] == "bad_request"

    @pytest.mark.parametrize("attributes", [8_000, 32_000])
    def test_a_caller_may_have_more_attributes_than_livekit_allows(
        self, manager: Manager, attributes: int
    ) -> None:
        """LiveKit stops at 64 KB: half a megabyte is a call all the same."""
        call = f"attributes-{attributes}"
        joined = list(webhooks_of_call(call))[1]
        many = {f"houba.{n}": "hop" * 3 for n in range(attributes)}
        joined["participant"]["attributes"] |= many
        joined["participant"]["metadata"] = "[" * 60_000

        told = post(manager, *signed(joined, API_KEY, API_SECRET)).json()

        assert told["outcome"] == "call"
        assert manager_says(manager, f"/calls/{told['call_id']}")["sip_call_id"] == f"SCL_{call}"


class TestSize:
    """Bodies that are too large."""

    @pytest.mark.parametrize("path", ["/webhook", "/recordings"])
    @pytest.mark.parametrize("is_chunked", [False, True])
    @pytest.mark.parametrize("is_known", [False, True])
    def test_a_hundred_megabytes_are_refused_and_not_kept(
        self, manager: Manager, path: str, is_chunked: bool, is_known: bool
    ) -> None:
        """Whether or not its length is told; the memory stays what it was.

        413 for whoever has shown a key or a signature, 401 for others.
        """
        process = psutil.Process(manager.pid)
        before, part = process.memory_info().rss, b"x" * MIB
        headers = {} if is_chunked else {"Content-Length": str(100 * MIB)}
        if is_known:
            headers["Authorization"] = token(b"") if path == "/webhook" else f"Bearer {KEY}"

        answer = httpx2.post(
            manager.url + path,
            content=(part for _ in range(100)),
            headers=headers,
            timeout=60,
            verify=NO_TLS,
        )

        assert answer.status_code == (413 if is_known else 401)
        assert process.memory_info().rss - before < MEMORY

    def test_the_largest_that_is_allowed_is_read(self, manager: Manager) -> None:
        """To the last byte."""
        body = b'{"event": "room_started", "pad": "' + b"x" * BODY_AT_MOST
        body = body[: BODY_AT_MOST - 2] + b'"}'

        assert post(manager, body, token(body)).status_code == 200


class TestSignatures:
    """Who has no key gets nowhere, with whatever he heard."""

    BODY = signed(next(webhooks_of_call("signatures")), API_KEY, API_SECRET)[0]

    @pytest.mark.parametrize(
        "signature_of",
        [
            pytest.param(lambda body: None, id="none"),
            pytest.param(lambda body: "", id="empty"),
            pytest.param(lambda body: "Bearer", id="only a scheme"),
            pytest.param(lambda body: f"Basic {token(body)}", id="another scheme"),
            pytest.param(lambda body: f"Bearer {KEY}", id="the key of the API"),
            pytest.param(lambda body: API_SECRET, id="the secret itself"),
            pytest.param(lambda body: f"{token(body)}, {token(body)}", id="two"),
            pytest.param(lambda body: token(body)[:-2], id="cut off"),
            pytest.param(
                lambda body: token(body, "houba-houba-houba-houba-houba-hop"), id="another secret"
            ),
            pytest.param(lambda body: token(body, iss="houba", exp=1), id="long ago"),
            pytest.param(lambda body: token(body, exp=time.time() - 61), id="expired"),
            pytest.param(lambda body: token(body, nbf=time.time() + 3600), id="not yet"),
            pytest.param(lambda body: token(body, exp=10**400), id="never"),
            pytest.param(lambda body: token(body, exp="never"), id="a word for a time"),
            pytest.param(lambda body: token(body, sha256=""), id="of nothing"),
            pytest.param(lambda body: token(body, sha256=None), id="of no body"),
            pytest.param(lambda body: token(body + b" "), id="of another body"),
            pytest.param(lambda body: token(body, algorithm="HS512"), id="another algorithm"),
            pytest.param(lambda body: token(body, "", algorithm="none"), id="no algorithm"),
            pytest.param(lambda body: "." * 12_000, id="dots"),
        ],
    )
    def test_what_is_not_signed_by_livekit_is_refused(
        self, manager: Manager, trusting: Manager, signature_of: Callable[[bytes], str | None]
    ) -> None:
        """Where no signature is needed, a wrong one is refused all the same."""
        signature = signature_of(self.BODY)
        assert post(manager, self.BODY, signature).status_code == 401
        if signature:
            assert post(trusting, self.BODY, signature).status_code == 401

    @pytest.mark.parametrize("place", ["X-Authorization", "Cookie", "Proxy-Authorization"])
    def test_a_signature_counts_in_its_place_only(self, manager: Manager, place: str) -> None:
        """Not in another header, nor in the query or the body."""
        headers = {place: token(self.BODY)}

        assert post(manager, self.BODY, **headers).status_code == 401
        query = {"authorization": token(self.BODY), "Authorization": token(self.BODY)}
        url = manager.webhook_url
        answer = httpx2.post(url, content=self.BODY, params=query, verify=NO_TLS)
        assert answer.status_code == 401

    def test_a_request_that_is_sent_again_changes_nothing(self, manager: Manager) -> None:
        """Who overhears one may send it again for five minutes: it is the same event."""
        joined = list(webhooks_of_call("replayed"))[1]
        body, signature = signed(joined, API_KEY, API_SECRET)
        told = [post(manager, body, signature).json() for _ in range(3)]
        recording = manager_says(manager, f"/recordings/{told[0]['recording_id']}")

        assert told[0] == told[1] == told[2]
        assert [event["name"] for event in recording["history"]][:1] == ["recording.starting"]
        room = {"room_name": "call_replayed"}
        assert len(manager_says(manager, "/calls", **room)["items"]) == 1
        assert len(manager_says(manager, "/recordings", **room)["items"]) == 1

    def test_its_signature_is_of_no_other_event(self, manager: Manager) -> None:
        """Nor of the same one with a caller more."""
        joined = list(webhooks_of_call("overheard"))[1]
        _, signature = signed(joined, API_KEY, API_SECRET)
        joined["participant"]["attributes"]["sip.phoneNumber"] = "+15550199"

        forged = signed(joined, "houba", "houba-houba-houba-houba-houba-hop")[0]

        assert post(manager, forged, signature).status_code == 401
        assert not manager_says(manager, "/calls", room_name="call_overheard")["items"]


class TestManner:
    """Requests that are not as HTTP libraries make them."""

    @pytest.mark.parametrize(
        ("headers", "query"),
        [
            ({"Content-Type": "text/plain"}, ""),
            ({"Content-Type": "multipart/form-data; boundary=\xff"}, ""),
            ({"Content-Encoding": "gzip"}, ""),
            ({"Host": "palombia.example"}, "?"),
            ({"X-Forwarded-For": "1.2.3.4, ::1", "X-HTTP-Method-Override": "DELETE"}, ""),
            ({f"X-{n}": "houba" for n in range(90)}, "?&&&"),
        ],
    )
    def test_what_is_said_beside_an_event_does_not_matter(
        self, manager: Manager, headers: dict[str, str], query: str
    ) -> None:
        """The bytes are what is signed."""
        body, signature = signed(next(webhooks_of_call("manner")), API_KEY, API_SECRET)

        answer = httpx2.post(
            manager.webhook_url + query,
            content=body,
            headers=[
                (b"Authorization", signature.encode()),
                *((name.encode(), value.encode("latin-1")) for name, value in headers.items()),
            ],
            verify=NO_TLS,
        )

        assert answer.status_code == 200

    @pytest.mark.parametrize(
        "query", ["?event=room_finished&event=%00&%ff=%ff", "?aaaaaaaaa=", "?" + "a=b&" * 2000]
    )
    def test_a_webhook_has_no_parameters(self, manager: Manager, query: str) -> None:
        """Nothing of ours reads them: whoever set that address meant another one."""
        body, signature = signed(next(webhooks_of_call("manner")), API_KEY, API_SECRET)
        url = manager.webhook_url + query

        answer = httpx2.post(url, content=body, headers={"Authorization": signature}, verify=NO_TLS)

        assert answer.status_code == 400
        assert "there is no parameter" in answer.json()["detail"]


def manager_says(manager: Manager, path: str, **params: str) -> Json:
    """What its API says."""
    headers = {"Authorization": f"Bearer {KEY}"}
    answer = httpx2.get(
        manager.url + path, params=params, headers=headers, timeout=60, verify=NO_TLS
    )
    return dict(answer.raise_for_status().json())
