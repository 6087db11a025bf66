"""Migrations: one Alembic environment for all services, a folder of versions for each."""

# Alembic itself is imported when something migrates, never by a process that serves.
from services.chassis.migrations.runner import head, run

__all__ = ["head", "run"]
