"""`events tail`: a line for each event as it is published."""

import argparse
import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from typing import Any, Final

from nats.aio.client import Client
from nats.aio.msg import Msg

from services.chassis import events
from services.events import screen, times
from services.events.connection import connected, event_streams
from services.events.payloads import as_json, event_types
from services.events.reader import Reader, existing
from services.events.trouble import CommandError, UsageError

_TRACE_ID: Final = slice(3, 35)


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
    async with AsyncExitStack() as stack:
        readers = []
        for stream, subject in await _sources(client, options.event):
            reader = Reader.open(client, stream, subject, options.since, only_new=not options.since)
            readers.append(await stack.enter_async_context(reader))
        async for message in _by_time([reader.present() for reader in readers]):
            yield message
        if not options.no_follow:
            async for message in _as_they_come([reader.coming() for reader in readers]):
                yield message


async def _sources(client: Client, event: str) -> list[tuple[str, str]]:
    """Return streams and what to read of each. Raises CommandError where nothing was ever published."""
    if event:
        types = [name for name in event_types() if event in (name, name.rpartition(".")[2])]
        if not types:
            known = ", ".join(name.rpartition(".")[2] for name in event_types())
            raise UsageError(f"the contracts know no event `{event}`; they know {known}")
        found = [(events.stream_name(name.rpartition(".")[0]), f"{name}.*") for name in types]
    else:
        found = [(stream, f"{stream.replace('_', '.')}.>") for stream in event_streams()]
    there = await existing(client, [stream for stream, _ in found])
    if not there:
        raise CommandError("there are no events: no service has made its stream yet")
    return [(stream, subject) for stream, subject in found if stream in there]


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
    queue: asyncio.Queue[Msg] = asyncio.Queue(1000)

    async def hand_on(source: AsyncGenerator[Msg]) -> None:
        async for message in source:
            await queue.put(message)

    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(hand_on(source)) for source in sources]
        try:
            while True:
                yield await queue.get()
        finally:
            for task in running:
                task.cancel()


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
