"""`python -m services events`: looks at events under way, and sets right what went wrong."""

import argparse
import asyncio
from collections.abc import Awaitable, Callable, Sequence
from importlib import import_module

from services.events import dead, lag, republish, screen, tail
from services.events.trouble import CommandError

REPLAY = "replay"


def main(arguments: Sequence[str]) -> int:
    """Run a command. Return 0, 1 for what failed, or 2 for what was wrongly asked."""
    if arguments and arguments[0] == REPLAY:
        code: int = import_module("services.events.replay").main(arguments[1:])
        return code
    try:
        return asyncio.run(run(arguments))
    except (KeyboardInterrupt, BrokenPipeError):
        return 0


async def run(arguments: Sequence[str]) -> int:
    """Run a command that asks the broker or a database."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], Awaitable[int]] = options.run
    try:
        return await command(options)
    except CommandError as error:
        screen.complain(str(error))
        return error.code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m services events", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="lag | dead | replay | republish | tail")
    for command in (lag, dead, republish, tail):
        command.add_to(commands)
    commands.add_parser(REPLAY, help="build a service's read model anew from all events", add_help=False)
    return parser
