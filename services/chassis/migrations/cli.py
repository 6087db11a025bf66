"""`python -m services migrate NAME... | all`: brings databases to the newest revision."""

import os
import sys
import time
from collections.abc import Sequence
from typing import TextIO

import psycopg

from services.chassis.migrations import runner

USAGE = """Usage: python -m services migrate NAME...|all

Brings the databases of services to their newest revision. MESHMART_<NAME>_DATABASE_URL says where each is."""


def main(arguments: Sequence[str]) -> int:
    """Migrate the services that are named, all of them for `all`."""
    known = runner.services()
    if not arguments or {"-h", "--help"} & set(arguments):
        _say(f"{USAGE}\n\nServices: {' '.join(known)}")
        return 0
    if unknown := sorted(set(arguments) - {*known, "all"}):
        _say(f"no such database: {' '.join(unknown)}; there are: {' '.join(known)}", sys.stderr)
        return 2
    chosen = known if "all" in arguments else list(arguments)
    if missing := [variable for name in chosen if not os.environ.get(variable := _variable(name))]:
        _say("\n".join(f"{variable}: expected the database's URL, found nothing" for variable in missing), sys.stderr)
        return 2
    return max(_migrate(name, os.environ[_variable(name)]) for name in chosen)


def _migrate(name: str, url: str) -> int:
    started = time.monotonic()
    try:
        before, after = runner.run(name, url)
    except psycopg.OperationalError as error:
        _say(f"{name}: {error}", sys.stderr)
        return 1
    changed = f"{before or 'nothing'} -> {after}" if before != after else f"is at {after}"
    _say(f"{name:<12} {changed} ({time.monotonic() - started:.1f} s)")
    return 0


def _variable(service: str) -> str:
    return f"MESHMART_{service.upper()}_DATABASE_URL"


def _say(text: str, stream: TextIO | None = None) -> None:
    print(text, file=stream)  # this is its output
