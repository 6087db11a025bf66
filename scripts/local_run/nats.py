"""NATS with JetStream from its wheel: loopback only, one user per service, files in the state folder."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.local_run.program import Program, ProgramError
from scripts.local_run.wheels import find_binary

_LISTENING = re.compile(r"Listening for client connections on 127\.0\.0\.1:(\d+)")
_READY = "Server is ready"
# The server gives memory back before it reaches this; it is no hard limit.
_MEMORY = "48MiB"

User = Mapping[str, Any]
"""One entry of `authorization.users`: user, password, permissions."""


class Nats:
    """One server with its JetStream store."""

    def __init__(self, folder: Path, log: Path, users: Sequence[User], port: int = 0) -> None:
        """Say where its files go and who may enter. Port 0 takes a free one at the first start."""
        self._folder = folder
        self._users = users
        self.port = port
        self.program = Program("nats", [], log, environment={**os.environ, "GOMEMLIMIT": _MEMORY, "GOMAXPROCS": "2"})

    @property
    def url(self) -> str:
        """Address for clients; user and password go beside it."""
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the server; return once it serves clients."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        configuration = self._folder / "nats.json"
        configuration.touch(mode=0o600)
        configuration.write_text(json.dumps(self._configuration(), indent=2))
        self.program.arguments = [find_binary("nats-server"), "--config", configuration]
        self.program.start(lambda program: _READY in program.output())
        listening = _LISTENING.search(self.program.output())
        if listening is None:
            raise ProgramError(f"nats did not say its port:\n{self.program.tail()}")
        self.port = int(listening[1])

    def stop(self) -> None:
        """Stop the server."""
        self.program.stop()

    def _configuration(self) -> dict[str, Any]:
        return {
            "server_name": "meshmart",
            "host": "127.0.0.1",
            "port": self.port or -1,
            "jetstream": {"store_dir": str(self._folder / "jetstream"), "max_memory_store": 0},
            "authorization": {"users": list(self._users)},
            "max_payload": 1024 * 1024,
        }
