"""The recordings directory (port `Files`), and whether it can be written."""

import os
import shutil
import tempfile
from pathlib import Path

from egress_manager.errors import StorageFailed


class LocalFiles:
    """Paths below one directory of this host."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, relative: str) -> str:
        return relative if "://" in relative else str(self.directory / relative)

    def exists(self, path: str) -> bool:
        try:
            return Path(path).stat().st_size > 0
        except (OSError, ValueError):
            return False

    def check(self) -> str:
        """How much room there is. Raises `StorageFailed` where nothing can be written."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.directory) as file:
                file.write(b"probe")
                file.flush()
                os.fsync(file.fileno())
            free = shutil.disk_usage(self.directory).free
        except OSError as error:
            raise StorageFailed(f"{self.directory} can't be written: {error.strerror}") from error
        return f"{free // 1_000_000} MB free"
