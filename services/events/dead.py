"""`events dead list | show ID | redrive ID...`: what services could not handle, and how to have it handled again."""

import argparse
import base64
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from nats.aio.client import Client
from nats.js.errors import APIError, NotFoundError

from services.chassis.dead_letters import DeadLetters, redriven_headers
from services.chassis.event_streams import ask, compiled_durables, request
from services.events import screen
from services.events.connection import connected
from services.events.letters import Letter, all_letters, letters_of
from services.events.payloads import as_json, unknown_fields
from services.events.trouble import UsageError

HEADS = ("ID", "TIME", "CONSUMER", "ATTEMPTS", "REASON", "ERROR")
_SECONDS = 19
"""Characters of a time down to the second."""


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its own."""
    parser = commands.add_parser("dead", help="list, show and redrive what could not be handled", description=__doc__)
    own = parser.add_subparsers(required=True, metavar="list | show | redrive")
    listing = own.add_parser("list", help="a line for each dead letter")
    listing.add_argument("--service", default="", help="only those of a service")
    listing.add_argument("--json", action="store_true", help="a JSON object a line")
    listing.set_defaults(run=_list)
    showing = own.add_parser("show", help="all that is known of one, as JSON")
    showing.add_argument("id", help="as `dead list` shows it, for example payment:12")
    showing.set_defaults(run=_show)
    redriving = own.add_parser("redrive", help="have events handled again")
    redriving.add_argument("ids", nargs="*", metavar="ID", help="as `dead list` shows it")
    redriving.add_argument("--consumer", default="", help="all that this durable gave up, payment_OrderConfirmed")
    redriving.add_argument("--all", action="store_true", help="all of them")
    redriving.set_defaults(run=_redrive)


async def _list(options: argparse.Namespace) -> int:
    async with connected() as client:
        records = [letter.record() async for letter in all_letters(client, options.service)]
    if options.json:
        for found in records:
            screen.record(found)
    elif records:
        screen.table(HEADS, ([found["id"], found["time"][:_SECONDS], *_cells(found)] for found in records))
    else:
        screen.line("no dead letters")
    return 0


def _cells(found: dict[str, Any]) -> list[object]:
    return [found[name] for name in ("consumer", "attempts", "reason", "error")]


async def _show(options: argparse.Namespace) -> int:
    async with connected() as client:
        letter = await Letter.read(client, options.id)
    payload = as_json(letter.event_type, letter.payload)
    found = {**letter.record(), "headers": dict(letter.headers), "payload": payload}
    if payload is None:
        found["payload_base64"] = base64.b64encode(letter.payload).decode()
    if fields := unknown_fields(letter.event_type, letter.payload):
        found["unknown_fields"] = fields
    screen.document(found)
    return 0


async def _redrive(options: argparse.Namespace) -> int:
    if sum((bool(options.ids), bool(options.consumer), options.all)) != 1:
        raise UsageError("say what to redrive: ids, --consumer NAME or --all")
    async with connected() as client:
        redriven = [await _give_back(client, letter) async for letter in _chosen(client, options)]
        for of in {letter.of.service: letter.of for letter in redriven}.values():
            await _forget_handled(client, of)
    screen.line(f"redrove {len(redriven)}")
    return 0


async def _chosen(client: Client, options: argparse.Namespace) -> AsyncIterator[Letter]:
    if options.ids:
        for letter in [await Letter.read(client, letter_id) for letter_id in dict.fromkeys(options.ids)]:
            yield letter
        return
    if options.consumer:
        _require_durable(options.consumer)
    async for letter in all_letters(client, options.consumer.partition("_")[0]):
        if options.all or letter.consumer == options.consumer:
            yield letter


def _require_durable(name: str) -> None:
    letters = letters_of(name.partition("_")[0])
    known = [durable["config"]["name"] for durable in compiled_durables() if durable["service"] == letters.service]
    if name not in {*known, letters.durable.name}:
        raise UsageError(f"`{name}` is no durable; {letters.service} has {', '.join(known)}")


async def _give_back(client: Client, letter: Letter) -> Letter:
    """Publish a letter for its service to handle, then delete it: a crash in between leaves it, to be redriven again."""
    subject = f"{letter.of.redriven}.{letter.event}"
    await request(client, subject, letter.payload, redriven_headers(letter.headers, letter.sequence))
    with contextlib.suppress(NotFoundError):
        await _delete(client, letter.of, letter.sequence)
    screen.line(f"{letter.id} {letter.event} {letter.record()['event_id']}")
    return letter


async def _forget_handled(client: Client, of: DeadLetters) -> None:
    """Delete what was redriven and is handled by now; else it would stay for ever."""
    with contextlib.suppress(NotFoundError):
        info = await ask(client, f"CONSUMER.INFO.{of.stream_name}.{of.durable.name}")
        handled = info["ack_floor"]["stream_seq"]
        while (sequence := await _first_redriven(client, of)) <= handled:
            await _delete(client, of, sequence)


async def _first_redriven(client: Client, of: DeadLetters) -> int:
    """Return the sequence of the oldest. Raises NotFoundError where there is none."""
    body = {"seq": 1, "next_by_subj": f"{of.redriven}.*"}
    answer = await ask(client, f"STREAM.MSG.GET.{of.stream_name}", body)
    return int(answer["message"]["seq"])


async def _delete(client: Client, of: DeadLetters, sequence: int) -> None:
    try:
        await ask(client, f"STREAM.MSG.DELETE.{of.stream_name}", {"seq": sequence, "no_erase": True})
    except APIError as error:
        if error.err_code != _NO_SUCH_MESSAGE:
            raise


_NO_SUCH_MESSAGE = 10043
