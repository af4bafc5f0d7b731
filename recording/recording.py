"""Egress Manager's command line, under the name that the first design gave it.

    python recording/recording.py --help
    python recording/recording.py import /home/livekit/old          # shows what would be
    python recording/recording.py import /home/livekit/old --yes
    python recording/recording.py inbox export call.jsonl
    python recording/recording.py replay call.jsonl --at-once

It does what `egress-manager` does, and works from a checkout that is not installed. What it is good
for, ingest and local reproduction, is told in `docs/importing.md`.
"""

import sys
from pathlib import Path


def main() -> None:
    """Hand over to the command line."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from egress_manager.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
