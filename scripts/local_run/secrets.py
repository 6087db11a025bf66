"""Secrets of a local run: made at its first start, kept in its state folder for the owner's eyes only."""

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.local_run.ports import SERVICES, STATELESS

STAFF_EMAIL = "staff@meshmart.example"
OPERATOR = "operator"
"""The broker's user of `python -m services events`."""


@dataclass(frozen=True)
class Secrets:
    """The secrets, by name."""

    values: Mapping[str, str]

    @property
    def postgres(self) -> str:
        """Password of PostgreSQL's administrator."""
        return self.values["postgres"]

    @property
    def staff_password(self) -> str:
        """Password of the shop's first member of staff, `STAFF_EMAIL`."""
        return self.values["staff"]

    @property
    def key_encryption(self) -> str:
        """What identity encrypts its signing keys with."""
        return self.values["key_encryption"]

    @property
    def unsubscribe(self) -> str:
        """What notification signs the tokens in mails with."""
        return self.values["unsubscribe"]

    def database(self, service: str) -> str:
        """Password of a service's database role."""
        return self.values[f"database_{service}"]

    def nats(self, user: str) -> str:
        """Password of a service, or of the operator, at NATS."""
        return self.values[f"nats_{user}"]


def load_secrets(state: Path) -> Secrets:
    """Return the secrets of a state folder, after making those that it lacks."""
    file = state / "secrets.json"
    known = json.loads(file.read_text()) if file.exists() else {}
    made = {name: secrets.token_urlsafe(32) for name in _names() if name not in known}
    if made:
        write_for_owner(file, json.dumps({**known, **made}, indent=2))
    return Secrets({**known, **made})


def _names() -> Iterator[str]:
    yield from ("postgres", "staff", "key_encryption", "unsubscribe", f"nats_{OPERATOR}")
    for service in SERVICES:
        if service not in STATELESS:
            yield from (f"database_{service}", f"nats_{service}")


def write_for_owner(file: Path, text: str) -> None:
    """Write a file that nobody else may read, all at once."""
    part = file.with_suffix(".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as opened:
        opened.write(text)
    part.rename(file)
