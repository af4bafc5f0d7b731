"""The command line in this process: what a command said, and how it ended."""

from collections.abc import Mapping

import pytest

from egress_manager import cli


class Terminal:
    """Somebody who types commands, with these settings."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        settings: Mapping[str, str],
    ) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self._settings = settings

    def types(self, *arguments: str, **settings: str) -> "Said":
        """Do a command, with further settings."""
        with self._monkeypatch.context() as environment:
            for name, value in {**self._settings, **settings}.items():
                environment.setenv(name, value)
            with pytest.raises(SystemExit) as ended:
                cli.main(arguments)
        out, error = self._capsys.readouterr()
        return Said(int(ended.value.code or 0), out, error)


class Said:
    """What a command said."""

    def __init__(self, code: int, out: str, error: str) -> None:
        self.code, self.out, self.error = code, out, error
