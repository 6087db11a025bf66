"""What is written down of an error: enough to find its cause, and none of the values it was about.

The text of a foreign exception may quote what it choked on, and PostgreSQL's details quote whole keys. Exceptions of our
own are sentences for developers, which hold ids and nothing else.
"""

import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import grpc
import psycopg

from services.chassis.errors import DomainError
from services.chassis.neighbour_errors import NeighbourCallError, neighbour_error

LONGEST: Final = 500
"""Characters of a text."""
_OURS: Final = "services."
_QUOTES_A_VALUE: Final = "22"
"""Class of SQLSTATEs, data exceptions, whose message quotes the value."""


def describe(error: BaseException) -> str:
    """Return one line."""
    return " ".join(_text(error).split())[:LONGEST]


def trace(error: BaseException) -> str:
    """Return where an error was raised, its line, and the same of what it was raised from or during."""
    return "\n".join("".join(traceback.format_tb(each.__traceback__)) + describe(each) for each in _chain(error))


def comes_from_database(error: BaseException) -> bool:
    """Return whether an error, or one that it was raised from or during, is PostgreSQL's."""
    return any(isinstance(each, psycopg.Error) for each in _chain(error))


def _text(error: BaseException) -> str:
    name = type(error).__name__
    if isinstance(error, psycopg.Error):
        return _of_database(name, error)
    if isinstance(error, grpc.aio.AioRpcError):
        return _of_neighbour(error)
    if isinstance(error, DomainError):
        return f"{error.reason}: {error.message}"
    if type(error).__module__.startswith(_OURS):
        return f"{name}: {error}"
    return f"{name}{_place(error)}"


def _of_database(name: str, error: psycopg.Error) -> str:
    state = error.sqlstate or ""
    if not state:
        return name
    said = "" if state.startswith(_QUOTES_A_VALUE) else error.diag.message_primary
    return f"{name} {state}: {said}" if said else f"{name} {state}"


def _of_neighbour(error: grpc.aio.AioRpcError) -> str:
    who = error.neighbour if isinstance(error, NeighbourCallError) else "a neighbour"
    refusal = neighbour_error(error)
    return f"{who} answered {error.code().name}" + (f" {refusal.reason}" if refusal else "")


def _place(error: BaseException) -> str:
    """Return where an error was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    return f" in {frames[-1].name} ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
