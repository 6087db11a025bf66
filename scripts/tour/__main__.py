"""Starts the shop, shows what it can do, and stays up until Ctrl-C (`scripts/demo`)."""

import argparse
import asyncio
import logging
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import aiohttp
import grpc

from scripts.local_run.__main__ import DEFAULT_STATE
from scripts.local_run.ports import DEFAULT_BASE, Ports, PortTakenError
from scripts.local_run.program import ProgramError
from scripts.local_run.secrets import STAFF_EMAIL
from scripts.local_run.seed.seed import seed
from scripts.local_run.supervisor import Shop
from scripts.tour.customer import TIMEOUT, Customer, TourError
from scripts.tour.screen import BOLD, DIM, RED, Screen
from scripts.tour.steps import Tour

INTERRUPTED = 130
"""What a shell says of a command that Ctrl-C ended."""


def main() -> int:
    """Give the tour; end with 0 only if all of it happened."""
    arguments = _arguments()
    logging.basicConfig(format="%(message)s", level=logging.ERROR)
    screen = Screen()
    try:
        asyncio.run(_run(arguments, screen))
    except (PortTakenError, ProgramError, TourError, grpc.aio.AioRpcError, aiohttp.ClientError, TimeoutError) as error:
        screen.line(f"\n{type(error).__name__}: {error}", RED)
        return 1
    except asyncio.CancelledError:
        return INTERRUPTED
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the tour")
    parser.add_argument("--one-process", action="store_true", help="host all services in one process")
    parser.add_argument("--port", type=int, default=DEFAULT_BASE, help="base of all ports, and the edge's own (8080)")
    parser.add_argument("--state", type=Path, default=DEFAULT_STATE, help="folder of databases, secrets and logs")
    return parser.parse_args()


async def _run(arguments: argparse.Namespace, screen: Screen) -> None:
    began = time.perf_counter()
    _stop_on_signal()
    screen.line("meshmart: starting PostgreSQL, NATS, Envoy and the services ...", DIM)
    async with Shop(arguments.state, Ports(arguments.port, arguments.one_process)) as shop:
        seeded = await seed(f"127.0.0.1:{shop.ports.edge}", STAFF_EMAIL, shop.secrets.staff_password)
        since = time.perf_counter() - began
        screen.line(f"The shop is open at {shop.url} with {seeded.products} products, after {since:.1f} s", BOLD)
        await _tour(shop, screen, began)
        _say_how_to_go_on(shop, screen)
        if not arguments.once:
            screen.line("The shop stays open until Ctrl-C.", BOLD)
            await _stay_open()


def _stop_on_signal() -> None:
    """Let a signal cancel what is under way; the shop is then stopped in order."""
    task = asyncio.current_task()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, lambda: task and task.cancel())


async def _stay_open() -> None:
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()


async def _tour(shop: Shop, screen: Screen, began: float) -> None:
    timeout = aiohttp.ClientTimeout(total=TIMEOUT)
    async with (
        aiohttp.ClientSession(shop.url, timeout=timeout) as http,
        grpc.aio.insecure_channel(f"127.0.0.1:{shop.ports.edge}") as channel,
    ):
        await Tour(shop, screen, Customer(http, channel), began).run()


def _say_how_to_go_on(shop: Shop, screen: Screen) -> None:
    address = f"127.0.0.1:{shop.ports.edge}"
    screen.line("\nTo go on by hand:", BOLD)
    for command in (
        f"curl '{shop.url}/v1/products:search?query=tea&pageSize=3'",
        f"curl {shop.url}/.well-known/jwks.json",
        f"grpcurl -plaintext {address} list",
        f'grpcurl -plaintext -d \'{{"query": "lamp"}}\' {address} meshmart.catalog.v1.CatalogService/SearchProducts',
    ):
        screen.line(f"  {command}")
    screen.line(f"  staff signs in as {STAFF_EMAIL}, password in {shop.state / 'secrets.json'}", DIM)
    screen.line(f"  logs are in {shop.state / 'logs'}", DIM)


if __name__ == "__main__":
    sys.exit(main())
