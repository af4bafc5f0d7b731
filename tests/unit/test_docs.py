"""The documents are true where a machine can tell: links, names, examples, the diagram."""

import inspect
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import jwt
import pytest

from docs.states import PAGE, page_with_states
from egress_manager.adapters.livekit_webhooks import read_body
from egress_manager.adapters.mongo_documents import document_of
from egress_manager.adapters.mongo_recordings import FIRST
from egress_manager.app import generate_recorder_token
from egress_manager.domain.calls import is_caller
from egress_manager.domain.incoming import EgressReported, ParticipantSeen, Unrecognised
from egress_manager.domain.provenance import MAC
from egress_manager.domain.recordings import Event, Hole, Observation, Recording, State, TrackFile
from egress_manager.errors import SettingsWrong
from egress_manager.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
DESIGN = ROOT / "docs" / "call_recording_design.md"
LICENCES = ROOT / "docs" / "adr" / "0008-dependencies-and-their-licences.md"
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)

#: Where the user's own document put things.
GIVEN_NAMES = (
    "docker-compose.egress.yml",
    "docs/call_recording_design.md",
    "egress_manager/.env.example",
    "egress_manager/app.py",
    "egress_manager/requirements.txt",
    "recording/recording.py",
    "requirements.txt",
)


@cache
def documents() -> tuple[Path, ...]:
    """Every Markdown file of the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return tuple(ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file())


def prose(document: Path) -> str:
    """A document without its code, where brackets are no links and # begins no heading."""
    text = re.sub(r"(?ms)^ *```.*?^ *```", "", document.read_text(encoding="utf-8"))
    return re.sub(r"`[^`\n]*`", "`code`", text)


def links(document: Path) -> Iterator[str]:
    """Where a document's links lead, if not out of the repository."""
    for target in re.findall(r"\]\(([^()\s]+)\)", prose(document)):
        if not re.match(r"[a-z]+:", target):
            yield unquote(target)


def anchors(document: Path) -> set[str]:
    """What can stand behind the # of a link to this document, as it is made from headings."""
    text = re.sub(r"(?ms)^ *```.*?^ *```", "", document.read_text(encoding="utf-8"))
    headings = re.findall(r"(?m)^#+ +(.+?) *$", text)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower().replace("`", "")).replace(" ", "-")
        for heading in headings
    }


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_and_headings_that_exist(document: Path) -> None:
    """Every link that stays in the repository."""
    broken = []
    for link in links(document):
        name, _, anchor = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        is_there = target.exists() and target.is_relative_to(ROOT)
        if not is_there or (anchor and anchor not in anchors(target)):
            broken.append(link)

    assert not broken


def test_the_readme_begins_with_the_two_commands() -> None:
    """Who opens it sees how to try it and how to test it without scrolling."""
    first_lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:16]

    assert any(line.startswith("make demo") for line in first_lines)
    assert any(line.startswith("make test") for line in first_lines)


@pytest.mark.parametrize("name", GIVEN_NAMES)
def test_what_the_user_named_is_where_the_user_put_it(name: str) -> None:
    """Paths of the user's own document."""
    assert (ROOT / name).is_file()


def test_the_token_that_the_user_named_is_made_where_the_user_put_it() -> None:
    """`generate_recorder_token(room_name, ttl_seconds=3600)` in `egress_manager.app`."""
    parameters = inspect.signature(generate_recorder_token).parameters

    assert list(parameters) == ["room_name", "ttl_seconds"]
    assert parameters["ttl_seconds"].default == 3600


def test_that_token_needs_the_key_and_its_secret_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whoever makes one need not have the service's other settings."""
    for setting in Settings.model_fields.values():
        monkeypatch.delenv(str(setting.alias), raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsWrong, match="LIVEKIT_API_KEY and LIVEKIT_API_SECRET"):
        generate_recorder_token("friday-assistant-room")
    monkeypatch.setenv("LIVEKIT_API_KEY", "devkey")
    (tmp_path / ".env").write_text(f"LIVEKIT_API_SECRET={'secret' * 8}\n")

    claims = jwt.decode(generate_recorder_token("room"), "secret" * 8, algorithms=["HS256"])

    assert (claims["iss"], claims["video"]["roomRecord"]) == ("devkey", True)


def test_the_users_requirements_are_the_versions_that_were_tested(tmp_path: Path) -> None:
    """From any folder: what pip reads lies beside the file, and every line of it is pinned."""
    lines = (ROOT / "egress_manager" / "requirements.txt").read_text().splitlines()
    (named,) = [line for line in lines if line and not line.startswith("#")]
    option, path = named.split()
    pinned = (ROOT / "egress_manager" / path).resolve()

    assert (option, pinned) == ("-r", ROOT / "requirements.txt")
    assert all("==" in line or "--hash=" in line for line in pinned.read_text().splitlines())


def test_the_service_is_found_in_its_own_folder() -> None:
    """Nothing of the project has to be installed for `uvicorn egress_manager.app:app` there."""
    code = "import egress_manager, egress_manager.app as app; print(app.__file__)"
    told = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT / "egress_manager",
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout

    assert Path(told.strip()) == ROOT / "egress_manager" / "app.py"


def test_the_entry_to_the_command_line_works_from_anywhere(tmp_path: Path) -> None:
    """`python recording/recording.py` does what `egress-manager` does."""
    told = subprocess.run(
        [sys.executable, str(ROOT / "recording" / "recording.py"), "--help"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout

    assert all(verb in told for verb in ("serve", "calls", "recordings", "settings"))


@pytest.mark.parametrize("name", sorted(str(f.alias) for f in Settings.model_fields.values()))
def test_every_setting_is_explained_and_in_the_example(name: str) -> None:
    """In `docs/settings.md`, and in the file that a new user copies."""
    assert f"`{name}`" in (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert f"{name}=" in (ROOT / "egress_manager" / ".env.example").read_text(encoding="utf-8")


def test_names_of_settings_in_the_documents_exist() -> None:
    """No document speaks of a setting of ours that there is not."""
    known = {str(field.alias) for field in Settings.model_fields.values()}
    spoken_of = {
        (str(document.relative_to(ROOT)), name)
        for document in documents()
        for name in re.findall(r"\bEGRESS_MANAGER_[A-Z_]+\b", document.read_text(encoding="utf-8"))
    }

    assert not {place for place in spoken_of if place[1] not in known}


def test_every_dependency_has_its_licence_and_its_reason_written_down() -> None:
    """A row in the decision about dependencies, and nothing of the product left out."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = chain(project["dependencies"], *project["optional-dependencies"].values())
    rows = re.findall(r"(?m)^\| ([a-z0-9-]+)[ |]", LICENCES.read_text(encoding="utf-8"))

    assert not {re.split(r"[^a-z0-9-]", need)[0] for need in needed} - set(rows)


def test_the_diagram_of_states_is_what_the_tables_say() -> None:
    """`python -m docs.states` writes it anew."""
    page = PAGE.read_text(encoding="utf-8")

    assert page == page_with_states(page)


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_diagrams_have_nothing_that_ends_a_line_early(document: Path) -> None:
    """A semicolon ends a statement of Mermaid, and what follows it breaks the diagram."""
    diagrams = re.findall(r"(?ms)^```mermaid\n(.*?)^```", document.read_text(encoding="utf-8"))

    assert not [line for text in diagrams for line in text.splitlines() if ";" in line]


def examples(name: str) -> list[Any]:
    """The JSON examples of the design document, below the heading of that name."""
    text = DESIGN.read_text(encoding="utf-8")
    section = re.search(rf"(?ms)^## {re.escape(name)}$(.*?)(?=^## |\Z)", text)
    assert section, f"no section {name}"
    blocks = re.findall(r"(?ms)^```json\n(.*?)^```", section[1])
    return [json.loads(block) for block in blocks]


def test_the_example_of_a_document_has_the_fields_that_documents_have() -> None:
    """All of them, the user's first, and no others; the same for what is inside."""
    (example,) = examples("MongoDB documents")
    hole, track = Hole(0, 1, "loss"), TrackFile("TR_1", "sip_1", "SIP", "left")
    recording = Recording(
        "rec_1", "call_1", "EG_1", "builtin", "room", Observation(State.PLANNED, NOON), NOON
    )

    assert tuple(example)[: len(FIRST)] == FIRST
    assert set(example) == set(document_of(recording)) | {"status", "unsealed", MAC}
    assert set(example["tracks"][0]) == set(document_of(track))
    assert set(example["tracks"][0]["holes"][0]) == set(document_of(hole))
    assert set(example["seen"]) == set(document_of(recording.seen))
    assert set(example["history"][0]) == set(document_of(Event("recording.planned", NOON)))


def test_the_examples_of_webhooks_are_read_as_the_document_says() -> None:
    """LiveKit's own and those made by hand: each is news to us, none is passed over."""
    read = [read_body(json.dumps(body).encode(), NOON) for body in examples("Webhooks")]

    assert not [webhook.name for webhook in read if isinstance(webhook.news, Unrecognised)]
    joined = [w.news for w in read if isinstance(w.news, ParticipantSeen)]
    assert [is_caller(news.participant) for news in joined] == [True, False, True]
    reports = [w.news for w in read if isinstance(w.news, EgressReported)]
    assert [(report.status, report.duration_sec) for report in reports] == [
        ("COMPLETE", 32.46),
        ("COMPLETE", 32),
    ]
    assert all(report.filepath for report in reports)
