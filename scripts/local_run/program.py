"""A program of somebody else's, started, awaited and stopped."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scripts.local_run.unprivileged import as_user

_TAIL = 15


class ProgramError(RuntimeError):
    """A program did not start, or ended early. Carries the last lines it wrote."""


@dataclass
class Program:
    """One child process whose output goes to a log file."""

    name: str
    arguments: Sequence[str | Path]
    log: Path
    environment: Mapping[str, str] | None = None
    """Whole environment; this process's own when None."""
    poll: float = 0.02
    """Seconds between two looks at whether it is ready."""
    user: int | None = None
    """Numeric user and group to run as, for programs that refuse root."""
    stop_signal: signal.Signals = signal.SIGTERM
    directory: Path | None = None
    process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)
    _log_start: int = field(default=0, init=False)

    def start(self, ready: Callable[["Program"], bool], timeout: float = 30) -> None:
        """Start the program and return once `ready` says so."""
        self.spawn()
        self.wait_until(ready, timeout)

    def spawn(self) -> None:
        """Start the program without waiting for it."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self.process = subprocess.Popen(
                as_user(self.user, self.arguments),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=None if self.environment is None else dict(self.environment),
                cwd=self.directory,
                start_new_session=True,  # Ctrl-C is ours to hand on, in order
            )

    def wait_until(self, ready: Callable[["Program"], bool], timeout: float = 30) -> None:
        """Return once `ready` says so; raise with the program's own lines when it ends or takes too long."""
        deadline = time.monotonic() + timeout
        while not ready(self):
            if not self.running:
                raise ProgramError(f"{self.name} ended with status {self.status}:\n{self.tail()}")
            if time.monotonic() > deadline:
                tail = self.tail()
                self.stop()
                raise ProgramError(f"{self.name} was not ready within {timeout:.0f} s:\n{tail}")
            time.sleep(self.poll)

    @property
    def running(self) -> bool:
        """Whether the program has been started and has not ended."""
        return self.process is not None and self.process.poll() is None

    @property
    def status(self) -> int | None:
        """Exit status; None while it runs."""
        return None if self.process is None else self.process.poll()

    @property
    def pid(self) -> int:
        """Process id."""
        if self.process is None:
            raise ProgramError(f"{self.name} is not started")
        return self.process.pid

    def output(self) -> str:
        """Return what the program has written since it was last started."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def tail(self) -> str:
        """Return the last lines the program has written."""
        return "\n".join(f"  {line}" for line in self.output().splitlines()[-_TAIL:])

    def wait(self) -> int:
        """Return the exit status once the program has ended."""
        if self.process is None:
            raise ProgramError(f"{self.name} is not started")
        return self.process.wait()

    def stop(self, timeout: float = 20) -> None:
        """Ask the program to end, and insist when it does not."""
        if self.process is None or not self.running:
            return
        self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the program as a crash would."""
        if self.process is not None and self.running:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
