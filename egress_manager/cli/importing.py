"""`egress-manager import`: recordings of files that are there already."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

from cyclopts import Parameter
from rich.console import Console
from rich.progress import Progress

from egress_manager.cli.plainly import Yes, line
from egress_manager.cli.service import AsJson
from egress_manager.cli.tables import length, print_json
from egress_manager.domain.importing import TIMES, plain
from egress_manager.domain.readings import Reader, check_given, patterns_of
from egress_manager.errors import BadRequest
from egress_manager.flows.importing import files as importing
from egress_manager.flows.importing.files import Deed, Outcome, Place, Wish
from egress_manager.settings import load_settings

_Flag = Annotated[bool, Parameter(negative="")]

#: What came of a file, in words; in a dry run, it would.
_WORDS: Final = {
    Deed.IMPORTED: "a recording of its own",
    Deed.TRACK: "a track of",
    Deed.KNOWN: "left alone",
    Deed.FAILED: "NOT IMPORTED",
}
#: What to do where names do not tell the room.
_HINT: Final = (
    "{count} names do not tell the room for sure. Say how the files are named: "
    "--naming '{{room_name}}-{{identity}}-{{time}}', or '{{room_name}}-{{time}}'"
)


def import_files(
    paths: Annotated[list[Path], Parameter(negative="")],
    /,
    *,
    naming: str = "",
    timezone: str = "UTC",
    copy: _Flag = False,
    move: _Flag = False,
    in_place: _Flag = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Make recordings of sound files: shows what would be imported; imports it with --yes.

    PATHS are files, or folders with all below them. Room, identity and time come from a file's
    name, or from the manifest that LiveKit Egress left beside it; length and kind from its sound.
    The same file twice is one recording, and nothing is written over. Files below RECORDINGS_DIR
    stay where they are, others are copied there. Run it on the service's host, as its user; ends
    with 1 if a file could not be imported.

    Parameters
    ----------
    naming
        How the files are named: `rooms`, `flat`, or a pattern like {room_name}-{identity}-{time}.
    timezone
        What times in names are in, such as Europe/Berlin.
    copy
        Copy all, also those that lie below RECORDINGS_DIR.
    move
        Move them.
    in_place
        Copy nothing: files that lie elsewhere are not imported.
    yes
        Import them.
    as_json
        For scripts.
    """
    wanted = [place for place, is_said in _places(copy, move, in_place) if is_said]
    if len(wanted) > 1:
        raise BadRequest("--copy, --move and --in-place exclude each other: give one of them")
    settings = load_settings()
    reader = Reader(_given(naming), patterns_of(settings.naming), _zone(timezone))
    wish = Wish(reader, wanted[0] if wanted else Place.AUTO, is_meant=yes)
    outcomes = asyncio.run(_import([str(path) for path in paths], wish, as_json=as_json))
    if as_json:
        print_json({"done": yes, "files": [_facts(each) for each in outcomes]})
    else:
        _sum_up(outcomes, is_meant=yes)
    sys.exit(1 if any(each.deed is Deed.FAILED for each in outcomes) else 0)


def _places(copy: bool, move: bool, in_place: bool) -> Sequence[tuple[Place, bool]]:
    return [(Place.COPY, copy), (Place.MOVE, move), (Place.IN_PLACE, in_place)]


def _given(naming: str) -> tuple[str, ...]:
    try:
        return check_given(naming) if naming else ()
    except ValueError as error:
        raise BadRequest(f"--naming can't be used: {error}") from None


def _zone(name: str) -> tzinfo:
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ValueError, OSError, LookupError):  # not found is a LookupError
        raise BadRequest(f"--timezone: {name} is not known here; write Europe/Berlin") from None


async def _import(paths: Sequence[str], wish: Wish, *, as_json: bool) -> list[Outcome]:
    """What came of each file; printed as it comes, unless it is for scripts."""
    from egress_manager.wiring.beside import open_importers

    outcomes: list[Outcome] = []
    async with open_importers(load_settings()) as doors:
        strays = await importing.find(paths, doors)
        if not strays:
            raise BadRequest("there are no sound files")
        found = importing.import_files(strays, wish, doors)
        async for outcome in _watched(found, len(strays)):
            outcomes.append(outcome)
            if not as_json:
                _tell(outcome)
    return outcomes


async def _watched(found: AsyncIterator[Outcome], total: int) -> AsyncIterator[Outcome]:
    """The same; on a terminal one sees how far it is."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("listening to files", total=total)
        async for outcome in found:
            progress.advance(task)
            yield outcome


def _tell(outcome: Outcome) -> None:
    line(outcome.path)
    whose = f" {outcome.recording_id}" if outcome.recording_id else ""
    why = f": {outcome.why}" if outcome.why else ""
    line(f"  {_WORDS[outcome.deed]}{whose}{why}")
    if outcome.found is None or outcome.deed is Deed.KNOWN:
        return
    origin, sound = outcome.found.origin, outcome.found.sound
    who = origin.publisher if outcome.deed is Deed.TRACK else origin.identity
    began = f"{origin.started_at:%Y-%m-%d %H:%M:%S} UTC ({TIMES[origin.time_from]})"
    line(f"  room {origin.room_name or '?'}, {who or '?'}, {began}, {length(sound.duration_sec)}")
    if outcome.filepath != outcome.path:
        line(f"  -> {outcome.filepath}")


def _sum_up(outcomes: Sequence[Outcome], *, is_meant: bool) -> None:
    counts = Counter(each.deed for each in outcomes)
    made, tracks = counts[Deed.IMPORTED], counts[Deed.TRACK]
    deed = "were imported" if is_meant else "would be imported"
    line(
        f"{made} recordings and {tracks} tracks {deed}; "
        f"{counts[Deed.KNOWN]} files were left alone, {counts[Deed.FAILED]} could not be imported."
    )
    new = [each.found for each in outcomes if each.deed is Deed.IMPORTED and each.found]
    roomless = sum(not found.origin.room_name for found in new)
    if roomless:
        line(_HINT.format(count=roomless))
    if not is_meant and made + tracks:
        line("Nothing was changed. Do it with --yes.")


def _facts(outcome: Outcome) -> dict[str, Any]:
    """An outcome for scripts."""
    facts: dict[str, Any] = {
        "path": plain(outcome.path),
        "outcome": outcome.deed,
        "recording_id": outcome.recording_id,
        "filepath": outcome.filepath,
        "why": outcome.why,
    }
    if outcome.found is None:
        return facts
    origin, sound = outcome.found.origin, outcome.found.sound
    return facts | {
        "room_name": origin.room_name,
        "identity": origin.identity,
        "caller_number": origin.caller_number,
        "track_id": origin.track_sid or None,
        "egress_id": origin.egress_id or None,
        "started_at": origin.started_at.isoformat(),
        "time_from": origin.time_from,
        "duration_sec": sound.duration_sec,
        "channels": sound.channels,
        "sample_rate": sound.sample_rate,
        "codec": sound.codec,
        "damaged_packets": sound.damaged,
        "size_bytes": outcome.found.content.size_bytes,
        "sha256": outcome.found.content.sha256,
    }
