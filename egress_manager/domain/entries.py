"""What an entry of the shared queue may be: the id of a recording, as plain text.

Whoever can write to Redis can put anything there. An entry is read as text and held against one
pattern; nothing in it is ever decoded into an object.
"""

import re
from typing import Final

#: The longest entry, in bytes: an id of ours has 24.
LONGEST: Final = 64

_RECORDING_ID: Final = re.compile(rb"rec_[0-9A-Za-z]+")


def recording_id_in(entry: bytes) -> str | None:
    """The recording's id that the entry is; None if it is anything else."""
    if len(entry) > LONGEST or not _RECORDING_ID.fullmatch(entry):
        return None
    return entry.decode("ascii")
