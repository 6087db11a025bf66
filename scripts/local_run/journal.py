"""Which processes run for a state folder, so that one run never meets the leftovers of another."""

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path

import psutil

from scripts.local_run.program import Program, ProgramError


class Journal:
    """The lock on a state folder and its pids.json."""

    def __init__(self, state: Path) -> None:
        """Say which folder."""
        self._state = state
        self._file = state / "pids.json"
        self._lock: int | None = None

    def open(self) -> None:
        """Take the folder for this run, and end what a killed run has left behind."""
        try:
            self._state.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ProgramError(f"{self._state} cannot be the state folder: {error.strerror}") from None
        lock = os.open(self._state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise ProgramError(f"a shop runs already in {self._state}: stop it, or choose another --state") from None
        self._lock = lock
        self._end_leftovers()

    @property
    def held(self) -> bool:
        """Whether the folder is this run's."""
        return self._lock is not None

    def write(self, programs: Mapping[str, Program]) -> None:
        """Note what runs now."""
        running = {name: program.pid for name, program in programs.items() if program.running}
        noted = {name: {"pid": pid, "started": _started(pid)} for name, pid in running.items()}
        part = self._file.with_suffix(".part")
        part.write_text(json.dumps(noted, indent=2))
        part.rename(self._file)

    def close(self) -> None:
        """Give the folder back."""
        self._file.unlink(missing_ok=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _end_leftovers(self) -> None:
        noted = json.loads(self._file.read_text()) if self._file.exists() else {}
        left = [psutil.Process(entry["pid"]) for entry in noted.values() if _started(entry["pid"]) == entry["started"]]
        for process in left:
            process.terminate()
        for process in psutil.wait_procs(left, timeout=20)[1]:
            process.kill()


def _started(pid: int) -> float | None:
    """Return when a process began; with its id that names it for good."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return None
