"""What the renderer process and its owner say to each other: JSON objects, one a line.

To the process: `{"id": 7, "do": "follow" | "finish" | "forget" | "listen" | "ping", …}`, with a
`plan`, the `recording_id` to forget, or the `claim` to hold files against. From it, once for each:
`{"id": 7, "done": …}` or `{"id": 7, "failed": code, "message": sentence}`.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from egress_manager.domain.recordings import (
    Channel,
    Hole,
    Layout,
    Piece,
    Rendered,
    RenderPlan,
    TrackFile,
)


def line(message: Mapping[str, Any]) -> bytes:
    """A message as it is sent."""
    return json.dumps(message, default=datetime.isoformat).encode() + b"\n"


def plan_to_json(plan: RenderPlan) -> dict[str, Any]:
    """The fields of a plan."""
    return asdict(plan)


def plan_from_json(fields: Mapping[str, Any]) -> RenderPlan:
    """A plan; lists become tuples again."""
    plan: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
    return RenderPlan(**{**plan, "pieces": tuple(map(_piece, plan["pieces"]))})


def rendered_to_json(rendered: Rendered) -> dict[str, Any]:
    """The fields of what was made."""
    return asdict(rendered)


def rendered_from_json(fields: Mapping[str, Any]) -> Rendered:
    """What was made."""
    return Rendered(
        **{
            **fields,
            "channels": tuple(
                Channel(c["side"], tuple(c["participants"])) for c in fields["channels"]
            ),
            "tracks": tuple(map(_track, fields["tracks"])),
            "holes": tuple(Hole(**hole) for hole in fields["holes"]),
        }
    )


def _piece(fields: Mapping[str, Any]) -> Piece:
    return Piece(**{**fields, "layout": Layout(fields["layout"])})


def _track(fields: Mapping[str, Any]) -> TrackFile:
    started_at = fields["started_at"]
    return TrackFile(
        **{
            **fields,
            "started_at": datetime.fromisoformat(started_at) if started_at else None,
            "holes": tuple(Hole(**hole) for hole in fields["holes"]),
        }
    )
