"""A clock that can be stepped under processes that run, by libfaketime."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Final

HOUR: Final = 3600
#: The process looks at the file this often. Seconds.
_LOOKS: Final = 1


class NoClock(Exception):
    """libfaketime is not installed, so clocks can't be stepped."""


class Clock:
    """The wall clock of the processes that are started with `environment()`."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "clock"
        self.set(0)

    def set(self, ahead: int) -> None:
        """Be so many seconds ahead of the machine's, or behind."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{ahead:+d}\n")
        new.rename(self._file)

    def environment(self) -> Mapping[str, str]:
        """What makes a process read this clock; monotonic ones are left alone.

        Raises `NoClock`.
        """
        return {
            "LD_PRELOAD": str(library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": str(_LOOKS),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    @contextlib.asynccontextmanager
    async def stepped(self, ahead: int) -> AsyncIterator[None]:
        """Off for a while."""
        self.set(ahead)
        try:
            yield
        finally:
            self.set(0)


def library() -> Path:
    """Raises `NoClock`."""
    try:
        files = metadata.files("libfaketime") or []
    except metadata.PackageNotFoundError:
        files = []
    found = next((str(file.locate()) for file in files if file.name == "libfaketime.so.1"), None)
    if found is None:
        raise NoClock("libfaketime is not installed: run `make setup`")
    return Path(found)
