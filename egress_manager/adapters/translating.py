"""Their exceptions become ours, once, at the border.

The text of a stranger's exception may hold secrets (a URI with its password), so only its type's
name is repeated; the exception itself stays reachable as the cause.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from pymongo.errors import DuplicateKeyError, PyMongoError

from egress_manager.errors import Conflict, EgressManagerError, StoreUnavailable

Known = Mapping[type[Exception], type[EgressManagerError]]

#: First match wins. What MongoDB can't do now, for whatever reason, is worth another try later.
MONGO: Final[Known] = {
    DuplicateKeyError: Conflict,
    PyMongoError: StoreUnavailable,
}


@contextmanager
def translating(known: Known = MONGO) -> Iterator[None]:
    """Turn the exceptions in the table, and those derived from them, into ours."""
    try:
        yield
    except tuple(known) as error:
        ours = next(ours for theirs, ours in known.items() if isinstance(error, theirs))
        raise ours(type(error).__name__) from error
