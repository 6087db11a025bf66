"""Runs the shop until Ctrl-C: `python -m scripts.local_run --port 8080`."""

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

from scripts.local_run.ports import DEFAULT_BASE, Ports, PortTakenError
from scripts.local_run.process import ROOT
from scripts.local_run.program import ProgramError
from scripts.local_run.supervisor import Shop

DEFAULT_STATE = ROOT / ".meshmart"


def main() -> int:
    """Run the shop; end with 1 and a sentence when it cannot start."""
    arguments = _arguments()
    logging.basicConfig(format="%(message)s")
    try:
        asyncio.run(_run(Shop(arguments.state, Ports(arguments.port, arguments.one_process))))
    except (PortTakenError, ProgramError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scripts.local_run", description=__doc__)
    parser.add_argument("--port", type=int, default=DEFAULT_BASE, help="base of all ports, and the edge's own")
    parser.add_argument("--state", type=Path, default=DEFAULT_STATE, help="folder of databases, streams, secrets, logs")
    parser.add_argument("--one-process", action="store_true", help="host all services in one process")
    return parser.parse_args()


async def _run(shop: Shop) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    async with shop:
        print(f"The shop is open at {shop.url} (REST and gRPC); logs in {shop.state / 'logs'}; Ctrl-C closes it.")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    sys.exit(main())
