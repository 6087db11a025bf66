"""Runs services until SIGTERM or SIGINT, then drains them."""

import asyncio
import gc
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from pkgutil import iter_modules

import uvloop

import services
from services.chassis import failpoint_names, failpoints
from services.chassis.host import Host
from services.chassis.process import StartError
from services.chassis.service import Service
from services.chassis.settings import ProcessSettings, ServiceSettings, help_text, read_settings

USAGE = """Usage: python -m services NAME...         run services in one process; `all` runs every one
       python -m services migrate NAME|all  bring databases to the newest revision
       python -m services audit             check the shop's invariants across the databases
       python -m services events            look at events under way, and set right what went wrong

Services: {names}

Settings, from the environment:
"""

COLLECTION_THRESHOLDS = (10_000, 20, 50)
"""Objects before the youngest are collected, and so on; a call leaves no cycles behind that would pile up."""


def main(arguments: Sequence[str]) -> int:
    """Run the services that are named, all of them for `all`."""
    if not arguments or "--help" in arguments or "-h" in arguments:
        every = [declaration(name) for name in names()]
        text = f"{help_text(every)}\n\n{failpoint_names.help_text()}"
        print(USAGE.format(names=" ".join(names())) + text)  # noqa: T201  # this is its output
        return 0
    unknown = sorted(set(arguments) - {*names(), "all"})
    if unknown:
        return _refuse(2, f"no such service: {' '.join(unknown)}; there are: {' '.join(names())}")
    chosen = [declaration(name) for name in (names() if "all" in arguments else arguments)]
    process, settings = read_settings(chosen)
    try:
        uvloop.run(serve(chosen, process, settings))
    except StartError as error:
        return _refuse(1, str(error))
    return 0


def _refuse(code: int, text: str) -> int:
    print(text, file=sys.stderr)  # noqa: T201  # for whoever started it
    return code


async def serve(chosen: Sequence[Service], process: ProcessSettings, settings: dict[str, ServiceSettings]) -> None:
    """Serve until the process is told to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    failpoints.arm(process.failpoints)
    async with Host(chosen, process, settings):
        spare_what_stays()
        await stop.wait()


def spare_what_stays() -> None:
    """Take what was made at start out of the garbage collector's sight.

    Modules and descriptors stay for good; walking them again and again was a quarter of a busy process's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTION_THRESHOLDS)


def names() -> list[str]:
    """Return the names of all services: the packages that have a declaration."""
    packages = (module.name for module in iter_modules(services.__path__) if module.ispkg)
    return sorted(name for name in packages if name != "chassis" and _declares(name))


def declaration(name: str) -> Service:
    """Return a service's declaration: `SERVICE` in its `service` module."""
    service: Service = import_module(f"services.{name}.service").SERVICE
    return service


def _declares(name: str) -> bool:
    package = import_module(f"services.{name}")
    return any(module.name == "service" for module in iter_modules(package.__path__))
