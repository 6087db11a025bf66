"""`events replay SERVICE`: builds a service's read model anew from all events, while the old one goes on answering."""

import argparse
import asyncio
import logging
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack

import nats.errors
import psycopg
import uvloop
from nats.aio.client import Client

from services.chassis import run
from services.chassis.broker import Broker
from services.chassis.database import Database
from services.chassis.error_text import describe
from services.chassis.generations import GenerationLostError
from services.chassis.replaying import (
    EventsFailedError,
    LessKnownError,
    Progress,
    Replay,
    ReplayRefusedError,
    only_replay,
)
from services.chassis.service import Service
from services.chassis.settings import ProcessSettings, ServiceSettings, read_settings

PATIENCE = 5.0
"""Seconds to wait for the broker."""
BETWEEN_LINES = 1.0
SHOWN_FAILURES = 5
_STILL = "What answered before goes on answering; an unfinished generation is dropped by the next replay."


def main(arguments: Sequence[str]) -> int:
    """Replay; return 2 for a service that cannot be replayed, 1 when the new generation does not answer."""
    parser = argparse.ArgumentParser(prog="python -m services events replay", description=__doc__)
    parser.add_argument("service", help="a service with a read model, in whose environment this runs")
    parser.add_argument("--skip-failed", action="store_true", help="answer without the events that cannot be written")
    parser.add_argument("--accept-less", action="store_true", help="answer though streams have lost what was counted")
    options = parser.parse_args(arguments)
    service = _service(options.service)
    if isinstance(service, str):
        return _say_why(2, service)
    logging.getLogger("services").addHandler(logging.NullHandler())  # what goes wrong is said once, at the end
    process, settings = read_settings([service])
    try:
        uvloop.run(_replay(service, process, settings[service.name], options))
    except ReplayRefusedError as error:
        return _say_why(2, str(error))
    except (EventsFailedError, LessKnownError) as error:
        return _say_why(1, _not_swapped(error))
    except (psycopg.Error, nats.errors.Error, TimeoutError, GenerationLostError) as error:
        return _say_why(1, f"{_trouble(error)}\n{_STILL}")
    except KeyboardInterrupt:
        return _say_why(130, f"interrupted\n{_STILL}")
    return 0


def _service(name: str) -> Service | str:
    """Return a service that can be replayed, or why it cannot."""
    if name not in run.names():
        return f"no such service: {name}; there are: {' '.join(run.names())}"
    service = run.declaration(name)
    if service.read_model is None:
        return f"{name} has no read model: what it keeps does not follow from events alone"
    return service


async def _replay(
    service: Service, process: ProcessSettings, settings: ServiceSettings, options: argparse.Namespace
) -> None:
    url, began = settings.database_url.get_secret_value(), time.monotonic()
    assert service.read_model is not None  # noqa: S101  # it was looked at before
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(only_replay(url, service.name))
        database = await stack.enter_async_context(Database(url, name=f"{service.name}-replay"))
        broker = Broker(service.name, process.nats_url, settings.nats_password.get_secret_value())
        await stack.enter_async_context(broker)
        client = await _client(broker)
        model, show = service.read_model(database), _Lines().show
        replay = Replay(service.name, model, database, client, show, options.skip_failed, options.accept_less)
        number = await replay.run()
    seconds = time.monotonic() - began
    _say(f"generation {number} answers: {replay.written:,} events in {seconds:.1f} s")
    if replay.failures:
        _say_why(0, _failures(EventsFailedError(replay.failures)))


async def _client(broker: Broker) -> Client:
    try:
        async with asyncio.timeout(PATIENCE):
            return await broker.client()
    except TimeoutError:
        raise nats.errors.Error(broker.report().detail) from None


class _Lines:
    """Says how far each event is, at most once a second and at its end."""

    def __init__(self) -> None:
        self._next = 0.0

    def show(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.done == progress.total or now >= self._next:
            self._next = now + BETWEEN_LINES
            _say(f"{progress.event:<24} {progress.done:>11,} of {progress.total:,}")


def _trouble(error: Exception) -> str:
    if isinstance(error, psycopg.errors.UndefinedTable):
        return "the database lacks a table: python -m services migrate"
    if isinstance(error, psycopg.OperationalError):
        return "the database does not answer"
    if isinstance(error, (nats.errors.Error, TimeoutError)):
        return f"the broker does not answer: {str(error) or type(error).__name__}"
    return describe(error)


def _not_swapped(error: EventsFailedError | LessKnownError) -> str:
    if isinstance(error, EventsFailedError):
        return f"{_failures(error)}\nNothing was swapped; --skip-failed answers without them. {_STILL}"
    return f"{error}\nNothing was swapped; --accept-less answers all the same. {_STILL}"


def _failures(error: EventsFailedError) -> str:
    shown = [f"  {failure.event} {failure.event_id}: {failure.problem}" for failure in error.failures[:SHOWN_FAILURES]]
    return "\n".join([f"{len(error.failures)} events could not be written:", *shown])


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201  # this is its output


def _say_why(code: int, text: str) -> int:
    print(text, file=sys.stderr)  # noqa: T201  # for whoever started it
    return code
