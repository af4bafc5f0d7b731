"""Their exceptions become ours, once, at the border.

The text of a stranger's exception may hold secrets (a URI with its password), so it is not
repeated: what MongoDB's mean is said in words of ours, of others the type's name is. The exception
itself stays reachable as the cause.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from pymongo.errors import (
    AutoReconnect,
    DuplicateKeyError,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
)

from egress_manager.errors import Conflict, EgressManagerError, StoreUnavailable

Known = Mapping[type[Exception], type[EgressManagerError]]

#: First match wins. What MongoDB can't do now, for whatever reason, is worth another try later.
MONGO: Final[Known] = {
    DuplicateKeyError: Conflict,
    PyMongoError: StoreUnavailable,
}

_REFUSED: Final = "MongoDB refuses the user or the password of MONGO_URI"

#: What is wrong by MongoDB's codes (base/error_codes.yml): AuthenticationFailed, Unauthorized,
#: and Atlas' own; else by the kind of the exception, of which the first match counts.
_BY_CODE: Final[Mapping[int | None, str]] = {
    18: _REFUSED,
    8000: _REFUSED,
    13: "the user of MONGO_URI may not do that in this database",
}
_BY_KIND: Final[Mapping[type[Exception], str]] = {
    AutoReconnect: "MongoDB does not answer",
    ExecutionTimeout: "MongoDB took too long",
}


@contextmanager
def translating(known: Known = MONGO) -> Iterator[None]:
    """Turn the exceptions in the table, and those derived from them, into ours."""
    try:
        yield
    except tuple(known) as error:
        ours = next(ours for theirs, ours in known.items() if isinstance(error, theirs))
        raise ours(_words(error)) from error


def _words(error: Exception) -> str:
    """What is wrong, without what the exception says."""
    code = error.code if isinstance(error, OperationFailure) else None
    if code in _BY_CODE:
        return _BY_CODE[code]
    name = type(error).__name__
    meant = next((words for kind, words in _BY_KIND.items() if isinstance(error, kind)), "")
    return f"{meant} ({name})" if meant else name
