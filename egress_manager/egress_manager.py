"""The package, for whoever starts the service in this folder: `uvicorn egress_manager.app:app`.

There Python finds this file where it looks for the package; it stands for the folder it lies in.
"""

from pathlib import Path

__path__ = [str(Path(__file__).parent)]
