"""Runs a service's migrations, one process at a time."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg

if TYPE_CHECKING:
    from alembic.config import Config

_SERVICES: Final = Path(__file__).parents[2]
_LOCK: Final = 0x6D6573686D617274
"""Advisory lock of whoever migrates a database: `meshmart` in hexadecimal."""
_LOCK_POLL: Final = 0.1


def versions(service: str) -> Path:
    """Return the folder of a service's migrations, named `NNNN_what.py`."""
    return _SERVICES / service / "migrations"


def head(service: str) -> str:
    """Return the newest revision of a service, read from the names of its files."""
    return max(file.name[:4] for file in versions(service).glob("[0-9][0-9][0-9][0-9]_*.py"))


def services() -> list[str]:
    """Return the names of the services that have a database."""
    return sorted(path.parent.name for path in _SERVICES.glob("*/migrations") if any(path.glob("[0-9]*_*.py")))


def run(service: str, url: str) -> tuple[str, str]:
    """Bring a service's database to the newest revision, and return the one before and the one after.

    Waits while another process does. A database that is newer is left alone.
    """
    with psycopg.connect(url, autocommit=True, application_name=f"meshmart-migrate-{service}") as lock:
        _wait_for(lock)
        before = _revision(lock)
        if before < head(service):
            _upgrade(service, url)
        return before, _revision(lock)


def _revision(connection: psycopg.Connection) -> str:
    """Return a database's revision; empty if it has none."""
    if connection.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
        return ""
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(row[0]) if row else ""


def _wait_for(lock: psycopg.Connection) -> None:
    # Asked again and again: a statement that waits would hold up CREATE INDEX CONCURRENTLY of whoever has the lock.
    while lock.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,)).fetchone() != (True,):
        time.sleep(_LOCK_POLL)


def _upgrade(service: str, url: str) -> None:
    from alembic import command  # noqa: PLC0415  # 20 MB that a serving process does not need
    from sqlalchemy import NullPool, create_engine  # noqa: PLC0415  # likewise

    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url), poolclass=NullPool)
    with engine.connect() as connection:
        config = config_of(service)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()
    engine.dispose()


def config_of(service: str) -> "Config":
    """Return Alembic's configuration for a service."""
    from alembic.config import Config  # noqa: PLC0415  # see above

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("version_locations", str(versions(service)))
    config.set_main_option("path_separator", "newline")
    return config
