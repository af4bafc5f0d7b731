"""Sound files, decoded with FFmpeg (port `Sounds`)."""

import asyncio
from pathlib import Path

from egress_manager.audio.whole import sound_of
from egress_manager.domain.importing import SoundFile


class PyavSounds:
    """Decodes in a thread: FFmpeg lets others go on meanwhile."""

    async def decode(self, path: str) -> SoundFile:
        return await asyncio.to_thread(sound_of, Path(path))
