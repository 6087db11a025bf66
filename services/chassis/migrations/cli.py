"""`python -m services migrate NAME... | all`: brings databases to the newest revision."""

import logging
from collections.abc import Sequence

from services.chassis.migrations.runner import head, run
from services.chassis.run import declaration, names
from services.chassis.service import Service
from services.chassis.settings import read_settings


def main(arguments: Sequence[str]) -> int:
    """Migrate the services that are named, all of them for `all`. Safe to run from several places at once."""
    known = [service for service in map(declaration, names()) if service.has_database]
    unknown = sorted(set(arguments) - {service.name for service in known} - {"all"})
    if unknown or not arguments:
        print(f"migrate what? There are: {' '.join(service.name for service in known)}, and all")  # noqa: T201
        return 2
    logging.getLogger("alembic").setLevel(logging.WARNING)
    _migrate([service for service in known if service.name in arguments or "all" in arguments])
    return 0


def _migrate(chosen: Sequence[Service]) -> None:
    _, settings = read_settings(chosen)
    for service in chosen:
        run(service.name, settings[service.name].database_url.get_secret_value())
        print(f"{service.name} is at revision {head(service.name)}")  # noqa: T201  # this is its output
