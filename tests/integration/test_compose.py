"""`docker-compose.egress.yml`: pinned, healthy, patient, and no secret in it.

Where Docker Compose is here, it reads the file itself; no container is started.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docker-compose.egress.yml"
TEXT = FILE.read_text(encoding="utf-8")

#: What has to be set, and values that are easy to find again.
REQUIRED = {
    "LIVEKIT_API_KEY": "the-key",
    "LIVEKIT_API_SECRET": "the-secret-the-secret-the-secret-the",
    "EGRESS_MANAGER_API_KEY": "the-api-key-of-the-manager",
    "REDIS_PASSWORD": "the-password",
}
COMPOSE_TIMEOUT = 30.0

#: Services that send or receive RTP: their ports are the host's own.
MEDIA = {"livekit", "livekit-sip", "egress-manager", "livekit-egress"}
RECORDINGS = "/home/livekit/recordings"


def interpolated(text: str, values: dict[str, str]) -> str:
    """The text with its variables filled in, as Compose does."""

    def value(match: re.Match[str]) -> str:
        name, kind, rest = match["name"], match["kind"], match["rest"] or ""
        if values.get(name):
            return values[name]
        if kind == ":?":
            raise KeyError(f"{name} {rest}")
        return rest

    return re.sub(r"\$\{(?P<name>[A-Z_]+)(?:(?P<kind>:[-?])(?P<rest>[^}]*))?\}", value, text)


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    """The services, with every required variable set."""
    yaml = pytest.importorskip("yaml", reason="needs PyYAML")
    found: dict[str, dict[str, Any]] = yaml.safe_load(interpolated(TEXT, REQUIRED))["services"]
    return found


def compose_commands() -> Iterator[list[str]]:
    """Docker Compose, as a plugin of docker or as a program of its own."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) is None:
            continue
        asked = subprocess.run(
            [*command, "version"], capture_output=True, timeout=COMPOSE_TIMEOUT, check=False
        )
        if asked.returncode == 0:
            yield command


def test_compose_itself_reads_the_file() -> None:
    """With all variables, and with the storage."""
    command = next(compose_commands(), None)
    if command is None:
        pytest.skip("Docker Compose is not here")
    told = subprocess.run(
        [*command, "--profile", "s3", "-f", str(FILE), "config", "--services"],
        env={**os.environ, **REQUIRED},
        capture_output=True,
        text=True,
        timeout=COMPOSE_TIMEOUT,
        check=False,
    )

    assert told.returncode == 0, told.stderr
    assert set(told.stdout.split()) == MEDIA | {"redis", "mongodb", "s3"}


@pytest.mark.parametrize("name", REQUIRED)
def test_a_variable_that_is_missing_is_named_in_a_sentence(name: str) -> None:
    """No secret has a default, and what lacks one says what it is."""
    values = {known: value for known, value in REQUIRED.items() if known != name}

    with pytest.raises(KeyError, match=rf"set {name}.{{10,}}"):
        interpolated(TEXT, values)


def test_nothing_but_the_four_has_to_be_set() -> None:
    """Every other variable has a default."""
    assert set(re.findall(r"\$\{([A-Z_]+):\?", TEXT)) == set(REQUIRED)
    assert not re.findall(r"\$\{[A-Z_]+\}", TEXT)


def test_images_are_pinned_to_a_version() -> None:
    """A version with at least two numbers; never what happens to be the latest."""
    images = re.findall(r"(?m)^ +image: (\S+)", TEXT)

    assert len(images) == 7
    assert not [image for image in images if not re.search(r":v?\d+\.\d+[\w.-]*$", image)]


def test_the_dockerfile_pins_its_image_too() -> None:
    """Both stages begin with the same one."""
    images = re.findall(r"(?m)^FROM (\S+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"))

    assert len(set(images)) == 1
    assert re.search(r":\d+\.\d+\.\d+-", images[0])


def test_every_service_is_watched_restarted_and_given_time_to_end(
    services: dict[str, dict[str, Any]],
) -> None:
    """A health check, a restart policy, and a grace period longer than it needs."""
    for name, service in services.items():
        assert service["healthcheck"]["test"][0] == "CMD", name
        assert service["restart"] == "unless-stopped", name
        assert service["stop_grace_period"], name
    assert services["egress-manager"]["stop_grace_period"] == "30s"


def test_media_uses_the_network_of_the_host_and_stores_are_on_loopback(
    services: dict[str, dict[str, Any]],
) -> None:
    """RTP needs many ports; nobody but this host needs MongoDB and Redis."""
    assert {n for n, s in services.items() if s.get("network_mode") == "host"} == MEDIA
    for name in services.keys() - MEDIA:
        assert all(port.startswith("127.0.0.1:") for port in services[name]["ports"])


def test_redis_has_a_password_that_all_of_its_clients_know(
    services: dict[str, dict[str, Any]],
) -> None:
    """Whoever can write to it can change rooms, from any account of the host."""
    yaml = pytest.importorskip("yaml", reason="needs PyYAML")
    password = REQUIRED["REDIS_PASSWORD"]
    command = services["redis"]["command"]
    configured = {
        "livekit": "LIVEKIT_CONFIG",
        "livekit-sip": "SIP_CONFIG_BODY",
        "livekit-egress": "EGRESS_CONFIG_BODY",
    }

    assert command[command.index("--requirepass") + 1] == password
    assert services["redis"]["environment"]["REDISCLI_AUTH"] == password
    for name, variable in configured.items():
        assert yaml.safe_load(services[name]["environment"][variable])["redis"] == {
            "address": "127.0.0.1:6379",
            "password": password,
        }


def test_the_manager_has_no_more_rights_than_it_needs(services: dict[str, dict[str, Any]]) -> None:
    """It listens on a high port and writes to its own folder."""
    manager = services["egress-manager"]

    assert manager["cap_drop"] == ["ALL"]
    assert manager["security_opt"] == ["no-new-privileges:true"]
    assert manager["environment"]["EGRESS_MANAGER_UMASK"] == "027"


def test_recordings_lie_on_the_host_under_the_same_path(
    services: dict[str, dict[str, Any]],
) -> None:
    """So that the `filepath` of a document is true outside of the container as well."""
    manager = services["egress-manager"]

    assert f"{RECORDINGS}:{RECORDINGS}" in manager["volumes"]
    assert manager["environment"]["RECORDINGS_DIR"] == RECORDINGS
    assert f"{RECORDINGS}:{RECORDINGS}" in services["livekit-egress"]["volumes"]
    assert f"{RECORDINGS}:/recordings" in services["livekit-egress"]["volumes"]


def test_recordings_have_one_owner(services: dict[str, dict[str, Any]]) -> None:
    """Whichever of the two recorders made them."""
    owners = {services[name]["user"] for name in ("egress-manager", "livekit-egress")}

    assert owners == {"1000:1000"}


def test_the_second_recorder_may_finish_what_it_has(services: dict[str, dict[str, Any]]) -> None:
    """LiveKit Egress ends when its last recording does; nothing else waits for it."""
    assert services["livekit-egress"]["stop_grace_period"] == "4h"
    assert not [n for n, s in services.items() if "livekit-egress" in s.get("depends_on", {})]


def test_storage_is_there_only_when_it_is_asked_for(services: dict[str, dict[str, Any]]) -> None:
    """A profile of its own; its keys are those that the manager hands to LiveKit Egress."""
    assert [name for name, service in services.items() if "profiles" in service] == ["s3"]
    text = FILE.read_text(encoding="utf-8")
    assert text.count("${EGRESS_MANAGER_S3_SECRET:-}") == 2


def test_livekit_tells_the_manager_with_the_key_that_the_manager_knows(
    services: dict[str, dict[str, Any]],
) -> None:
    """The configurations inside agree with each other."""
    yaml = pytest.importorskip("yaml", reason="needs PyYAML")
    livekit = yaml.safe_load(services["livekit"]["environment"]["LIVEKIT_CONFIG"])
    sip = yaml.safe_load(services["livekit-sip"]["environment"]["SIP_CONFIG_BODY"])
    manager = services["egress-manager"]["environment"]
    key, secret = REQUIRED["LIVEKIT_API_KEY"], REQUIRED["LIVEKIT_API_SECRET"]

    assert livekit["keys"] == {key: secret}
    assert livekit["webhook"] == {"api_key": key, "urls": ["http://127.0.0.1:5000/webhook"]}
    assert (manager["LIVEKIT_API_KEY"], manager["LIVEKIT_API_SECRET"]) == (key, secret)
    assert (sip["api_key"], sip["api_secret"]) == (key, secret)
    assert sip["redis"] == livekit["redis"]
