"""`events tail`: a line for each event as it is published."""

import argparse
import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from typing import Any, Final

from nats.aio.client import Client
from nats.aio.msg import Msg

from services.chassis import events
from services.chassis.background import end
from services.events import screen, times
from services.events.connection import connected, event_streams
from services.events.payloads import as_json, event_types
from services.events.reader import Reader, existing
from services.events.trouble import CommandError, UsageError

_TRACE_ID: Final = slice(3, 35)
_LOOK: Final = 0.5
"""Seconds between looks for a stream."""


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = commands.add_parser("tail", help="a line for each event", description=__doc__)
    parser.add_argument("--event", default="", help="only this one, OrderConfirmed")
    parser.add_argument("--aggregate", default="", metavar="ID", help="only those of an order, a product, a customer")
    parser.add_argument("--since", type=times.since, help="begin in the past: 15m, 2h, 7d or 2026-11-21T10:00Z")
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="end after so many")
    parser.add_argument("--no-follow", action="store_true", help="end with the last that there is")
    parser.add_argument("--json", action="store_true", help="a JSON object a line")
    parser.set_defaults(run=run)


async def run(options: argparse.Namespace) -> int:
    """Show events until there were enough, or until Ctrl-C."""
    shown = 0
    async with connected() as client, aclosing(_events(client, options)) as found:
        async for message in found:
            if options.aggregate and (message.headers or {}).get(events.AGGREGATE_ID) != options.aggregate:
                continue
            _show(message, as_record=options.json)
            shown += 1
            if shown == options.limit:
                break
    return 0


async def _events(client: Client, options: argparse.Namespace) -> AsyncGenerator[Msg]:
    """Yield events of all streams: the past by their time, then what comes."""
    sources = _sources(options.event)
    there = await existing(client, [stream for stream, _ in sources])
    if options.no_follow and not there:
        raise CommandError("there are no events: no service has made its stream yet")
    async with AsyncExitStack() as stack:
        readers = []
        for stream, subject in sources:
            if stream in there:
                reader = Reader.open(client, stream, subject, options.since, only_new=not options.since)
                readers.append(await stack.enter_async_context(reader))
        async for message in _by_time([reader.present() for reader in readers]):
            yield message
        if not options.no_follow:
            coming = [reader.coming() for reader in readers]
            late = [_from_its_first(client, *source) for source in sources if source[0] not in there]
            async with aclosing(_as_they_come([*coming, *late])) as found:
                async for message in found:
                    yield message


def _sources(event: str) -> list[tuple[str, str]]:
    """Return streams and what to read of each. Raises UsageError for an event that there is not."""
    if not event:
        return [(stream, f"{stream.replace('_', '.')}.>") for stream in event_streams()]
    types = [name for name in event_types() if event in (name, name.rpartition(".")[2])]
    if not types:
        known = ", ".join(name.rpartition(".")[2] for name in event_types())
        raise UsageError(f"the contracts know no event `{event}`; they know {known}")
    return [(events.stream_name(name.rpartition(".")[0]), f"{name}.*") for name in types]


async def _from_its_first(client: Client, stream: str, subject: str) -> AsyncGenerator[Msg]:
    """Yield the messages of a stream that its service has not made yet."""
    while not await existing(client, [stream]):  # noqa: ASYNC110  # another process makes it
        await asyncio.sleep(_LOOK)
    async with Reader.open(client, stream, subject) as reader:
        async for message in reader.coming():
            yield message


async def _by_time(sources: list[AsyncGenerator[Msg]]) -> AsyncGenerator[Msg]:
    """Merge what is there, each source being in order."""
    heads: dict[int, Msg] = {}
    for number, source in enumerate(sources):
        await _advance(heads, number, source)
    while heads:
        number = min(heads, key=lambda each: (_time(heads[each]), each))
        yield heads[number]
        await _advance(heads, number, sources[number])


async def _advance(heads: dict[int, Msg], number: int, source: AsyncGenerator[Msg]) -> None:
    heads.pop(number, None)
    async for message in source:
        heads[number] = message
        return


async def _as_they_come(sources: list[AsyncGenerator[Msg]]) -> AsyncGenerator[Msg]:
    queue: asyncio.Queue[Msg | Exception] = asyncio.Queue(1000)

    async def hand_on(source: AsyncGenerator[Msg]) -> None:
        try:
            async with aclosing(source):
                async for message in source:
                    await queue.put(message)
        except Exception as error:  # noqa: BLE001  # raised below, where somebody hears it
            await queue.put(error)

    running = [asyncio.create_task(hand_on(source)) for source in sources]
    try:
        while True:
            found = await queue.get()
            if isinstance(found, Exception):
                raise found
            yield found
    finally:
        for task in running:
            await end(task)


def _time(message: Msg) -> str:
    return (message.headers or {}).get(events.TIME, "")


def _show(message: Msg, *, as_record: bool) -> None:
    said = (message.headers or {}).get
    event_type = said(events.TYPE, "")
    payload = as_json(event_type, message.data)
    record: dict[str, Any] = {
        "time": said(events.TIME, ""),
        "event": event_type,
        "aggregate_id": said(events.AGGREGATE_ID, ""),
        "version": said(events.AGGREGATE_VERSION, ""),
        "event_id": said(events.ID, ""),
        "trace_id": said(events.TRACEPARENT, "")[_TRACE_ID],
        "payload": payload,
    }
    if as_record:
        screen.record(record)
    else:
        screen.line("  ".join([*map(str, list(record.values())[:-1]), screen.compact(payload)]))
