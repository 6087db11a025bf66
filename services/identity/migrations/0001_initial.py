"""Customers, sessions, signing keys."""

from alembic import op

from services.chassis.migrations.tables import create_chassis_tables

revision = "0001"
down_revision = None

TABLES = """
CREATE TABLE customer (
    id uuid PRIMARY KEY,
    email text NOT NULL CONSTRAINT customer_email_key UNIQUE CHECK (email = lower(email)),
    display_name text NOT NULL,
    role text NOT NULL CHECK (role IN ('customer', 'staff')),
    password_hash text NOT NULL,
    create_time timestamptz NOT NULL
);

CREATE TABLE session (
    id uuid PRIMARY KEY,
    customer_id uuid NOT NULL REFERENCES customer,
    create_time timestamptz NOT NULL DEFAULT now(),
    expire_time timestamptz NOT NULL,
    revoke_time timestamptz
);
CREATE INDEX session_customer ON session (customer_id);
CREATE INDEX session_expiry ON session (expire_time);

-- Spent tokens stay until they would have expired, so that a second use is noticed.
CREATE TABLE refresh_token (
    token_hash bytea PRIMARY KEY,
    session_id uuid NOT NULL REFERENCES session ON DELETE CASCADE,
    expire_time timestamptz NOT NULL,
    spend_time timestamptz
);
CREATE INDEX refresh_token_session ON refresh_token (session_id);
CREATE INDEX refresh_token_expiry ON refresh_token (expire_time);

CREATE TABLE signing_key (
    kid text PRIMARY KEY,
    x text NOT NULL,
    y text NOT NULL,
    sealed_private_key bytea NOT NULL,
    active boolean NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now(),
    retire_time timestamptz
);
-- One key signs, also when several replicas start for the first time at once.
CREATE UNIQUE INDEX signing_key_active ON signing_key (active) WHERE active;
"""


def upgrade() -> None:
    """Create the tables."""
    create_chassis_tables()
    op.execute(TABLES)
