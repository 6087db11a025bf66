"""Runs services: `python -m services order`, `python -m services order payment`, `python -m services all`."""

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

COMMANDS = {
    "migrate": "services.chassis.migrations.cli",
    "audit": "services.audit.cli",
    "events": "services.events.cli",
    "run": "services.chassis.run",
}


def main(arguments: Sequence[str]) -> int:
    """Run a subcommand, or the services that are named."""
    # Before grpc is imported: its C core would write lines of its own into standard error.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    name, *rest = arguments or ["--help"]
    module, rest = (COMMANDS[name], rest) if name in COMMANDS else (COMMANDS["run"], list(arguments or ["--help"]))
    command: Callable[[Sequence[str]], int] = import_module(module).main
    return command(rest)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
