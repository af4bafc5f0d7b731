"""What HTTP asks of every route: its methods, its parameters, and what a client has already."""

import re
from pathlib import Path

import httpx2
import pytest

from tests.unit.api.house import House

AUDIO = "/recordings/rec_1/audio"


@pytest.fixture
async def recorded(house: House) -> None:
    """A recording with a file."""
    await house.has(filepath=house.file("a.mp4"))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/calls?room=palombia"),
        ("GET", "/calls?caller_number[$ne]=x"),
        ("GET", "/calls/call_1?verbose=1"),
        ("GET", "/recordings?state=completed"),
        ("GET", f"{AUDIO}?download=1"),
        ("GET", "/reports/capture?from=2026-11-22T00:00:00Z"),
        ("GET", "/reconciliation?apply=true"),
        ("GET", "/health?verbose=1"),
        ("HEAD", "/health?verbose=1"),
        ("GET", "/health/live?x="),
        ("POST", "/reconciliation?dry_run=true"),
        ("POST", "/recordings/rec_1/stop?force=1"),
        ("POST", "/webhook?x=1"),
    ],
)
@pytest.mark.usefixtures("recorded")
async def test_a_parameter_that_there_is_not_is_refused(
    client: httpx2.AsyncClient, method: str, path: str
) -> None:
    """Passed over, a misspelt filter would show everything, and a dry run would not be dry."""
    answer = await client.request(method, path)

    assert answer.status_code == 400
    if method != "HEAD":
        assert answer.json()["code"] == "bad_request"
        assert "there is no parameter" in answer.json()["detail"]


async def test_the_parameters_that_there_are_are_named(client: httpx2.AsyncClient) -> None:
    """Whoever misspelt one sees the right one."""
    detail = (await client.get("/calls?caler_number=1")).json()["detail"]

    assert "caller_number, cursor, is_over" in detail


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/recordings", "GET, HEAD, POST"),
        ("PUT", "/calls/call_1", "GET, HEAD"),
        ("GET", "/webhook", "POST"),
        ("PATCH", "/health", "GET, HEAD"),
        ("GET", "/recordings/rec_1/stop", "POST"),
    ],
)
async def test_a_method_that_there_is_not_tells_which_there_are(
    client: httpx2.AsyncClient, method: str, path: str, allowed: str
) -> None:
    """Of the whole path, whichever route has them (RFC 9110, 15.5.6)."""
    answer = await client.request(method, path)

    assert answer.status_code == 405
    assert answer.headers["allow"] == allowed
    assert answer.json()["code"] == "method_not_allowed"


@pytest.mark.usefixtures("recorded")
async def test_head_is_answered_wherever_get_is(house: House, client: httpx2.AsyncClient) -> None:
    """With the same status and headers."""
    paths = [path for path, has in house.app.openapi()["paths"].items() if "get" in has]
    there = [re.sub(r"{recording_id}", "rec_1", path) for path in paths]

    for path in [*there, "/docs", "/openapi.json", "/swagger/swagger-ui.css"]:
        got, headed = await client.get(path), await client.head(path)
        assert headed.status_code == got.status_code, path
        assert headed.headers["content-type"] == got.headers["content-type"], path


@pytest.mark.usefixtures("recorded")
async def test_what_the_client_has_is_not_sent_again(client: httpx2.AsyncClient) -> None:
    """A player that comes back asks with what it was told."""
    first = (await client.get(AUDIO)).headers

    for asked in (
        {"If-None-Match": first["etag"]},
        {"If-None-Match": f'"other", W/{first["etag"]}'},
        {"If-None-Match": "*"},
        {"If-Modified-Since": first["last-modified"]},
        {"If-None-Match": first["etag"], "Range": "bytes=0-1"},
    ):
        for again in (
            await client.get(AUDIO, headers=asked),
            await client.head(AUDIO, headers=asked),
        ):
            assert (again.status_code, again.content) == (304, b""), asked
            assert again.headers["etag"] == first["etag"]


@pytest.mark.usefixtures("recorded")
async def test_what_the_client_has_not_is_sent(client: httpx2.AsyncClient) -> None:
    """A tag outweighs a date, and a date that is none is passed over."""
    first = (await client.get(AUDIO)).headers

    for asked in (
        {"If-None-Match": '"other"'},
        {"If-None-Match": '"other"', "If-Modified-Since": first["last-modified"]},
        {"If-Modified-Since": "Sun, 22 Nov 2009 12:00:00 GMT"},
        {"If-Modified-Since": "yesterday"},
        {"If-Modified-Since": ""},
    ):
        again = await client.get(AUDIO, headers=asked)
        assert (again.status_code, again.content) == (200, b"0123456789"), asked


@pytest.mark.usefixtures("recorded")
async def test_a_part_behind_the_end_is_a_problem_document(client: httpx2.AsyncClient) -> None:
    """And says how much there is."""
    answer = await client.get(AUDIO, headers={"Range": "bytes=10-"})

    assert answer.status_code == 416
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["content-range"] == "bytes */10"
    assert answer.json()["code"] == "range_not_satisfiable"


async def test_the_description_needs_no_internet(anybody: httpx2.AsyncClient) -> None:
    """The page and all that it loads come from here."""
    page = await anybody.get("/docs")
    assert page.status_code == 200
    assert "default-src 'self'" in page.headers["content-security-policy"]

    loaded = re.findall(r"(?:src|href)=\"([^\"]+)\"", page.text)
    assert len(loaded) >= 3
    for path in loaded:
        assert path.startswith("/"), path
        assert len((await anybody.get(path)).content) > 100, path
    assert "://" not in page.text
    for path in ("/redoc", "/docs/oauth2-redirect"):
        assert (await anybody.get(path)).status_code == 404


async def test_the_description_for_programs_is_the_same_bytes_each_time(
    house: House, anybody: httpx2.AsyncClient
) -> None:
    """It is encoded once; and takes no parameters, like every other route."""
    first = await anybody.get("/openapi.json")
    house.app.openapi = None  # type: ignore[method-assign, assignment]
    again = await anybody.get("/openapi.json")
    more = await anybody.get("/openapi.json?x=1")

    assert first.headers["content-type"] == "application/json"
    assert (again.status_code, again.content) == (200, first.content)
    assert (more.status_code, more.json()["code"]) == (400, "bad_request")


async def test_the_description_names_the_path_before_ours(house: House) -> None:
    """A proxy may have put one there."""
    transport = httpx2.ASGITransport(app=house.app, root_path="/calls-of-ours")
    async with httpx2.AsyncClient(transport=transport, base_url="http://manager") as client:
        described = (await client.get("/calls-of-ours/openapi.json")).json()

    assert described["servers"] == [{"url": "/calls-of-ours"}]


def test_the_assets_are_in_the_package(house: House) -> None:
    """Nothing is fetched when it is installed, either."""
    import fastapi_swagger

    assert (Path(fastapi_swagger.__file__).parent / "resources" / "swagger-ui-bundle.js").exists()
