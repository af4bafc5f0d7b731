"""Cursors of paged lists: the place after the last item of a page.

Lists are ordered by a moment and, where two are the same, by id; both are in the cursor, so a page
begins right after the last one whatever was added meanwhile, at the same cost on page 1 and 1000.
"""

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from egress_manager.errors import BadRequest

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Place:
    """An item's place in a list: its moment, to the millisecond, and its id."""

    at: datetime
    id: str

    def cursor(self) -> str:
        """The place as an opaque text that is safe in a URL."""
        millis = (self.at - _EPOCH) // timedelta(milliseconds=1)
        return base64.urlsafe_b64encode(f"{millis}:{self.id}".encode()).decode().rstrip("=")

    @classmethod
    def of(cls, cursor: str) -> "Place":
        """The place that a cursor means. Raises `BadRequest` for a cursor that is not ours."""
        try:
            padded = cursor + "=" * (-len(cursor) % 4)
            text = base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True).decode()
            millis, separator, item_id = text.partition(":")
            if not separator or not item_id:
                raise ValueError(cursor)
            return cls(_EPOCH + timedelta(milliseconds=int(millis)), item_id)
        except (ValueError, OverflowError, binascii.Error) as error:
            raise BadRequest("cursor: take it from next_cursor of the page before") from error
