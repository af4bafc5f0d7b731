"""Egress Manager's command line, under the name that the first design gave it.

    python recording/recording.py --help
    python recording/recording.py recordings --json

It does what `egress-manager` does, and works from a checkout that is not installed.
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
