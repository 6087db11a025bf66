"""Authorizations that were not captured in time expire by themselves."""

from alembic import op

revision = "0002"
down_revision = "0001"

TABLES = """
ALTER TABLE payment DROP CONSTRAINT payment_state_check;
ALTER TABLE payment ADD CONSTRAINT payment_state_check CHECK (
    state IN ('AUTHORIZED', 'EXPIRED', 'CAPTURING', 'CAPTURED', 'CAPTURE_FAILED', 'VOIDING', 'VOIDED', 'REFUNDING', 'REFUNDED'));
CREATE INDEX payment_by_expiry ON payment (expire_time) WHERE state = 'AUTHORIZED';
"""


def upgrade() -> None:
    """Allow the state, and let what expires be found."""
    op.execute(TABLES)
