"""The chassis's tables."""

from services.chassis.migrations.tables import create_chassis_tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    create_chassis_tables()
