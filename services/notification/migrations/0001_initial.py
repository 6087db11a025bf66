"""Notifications and preferences. No address and no name of anybody is in here."""

from alembic import op

from services.chassis.migrations.tables import create_chassis_tables

revision = "0001"
down_revision = None

# `attempt` tells who tries to send it now: whoever lost its lease meanwhile writes nothing. `change_xid` is the
# transaction of the last change that a stream shows. Pages leave room for what sending changes.
NOTIFICATION = """
CREATE TABLE notification (
    id uuid NOT NULL,
    event_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    kind text COLLATE "C" NOT NULL CHECK (kind IN (
        'WELCOME', 'ORDER_CONFIRMED', 'ORDER_REJECTED', 'ORDER_CANCELLED', 'PAYMENT_REFUNDED')),
    order_id uuid CHECK ((order_id IS NULL) = (kind = 'WELCOME')),
    currency_code text COLLATE "C",
    minor_units bigint CHECK ((minor_units IS NULL) = (currency_code IS NULL)),
    reason text NOT NULL DEFAULT '',
    channel text COLLATE "C" NOT NULL CHECK (channel IN ('EMAIL', 'LOG')),
    state text COLLATE "C" NOT NULL CHECK (state IN ('PENDING', 'SENT', 'SKIPPED', 'FAILED')),
    failure_reason text NOT NULL DEFAULT '' CHECK ((failure_reason <> '') = (state = 'FAILED')),
    attempt integer NOT NULL DEFAULT 0,
    due_time timestamptz NOT NULL DEFAULT now(),
    traceparent text NOT NULL DEFAULT '',
    change_xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    create_time timestamptz NOT NULL DEFAULT now(),
    send_time timestamptz CHECK ((send_time IS NOT NULL) = (state = 'SENT')),
    CONSTRAINT notification_pkey PRIMARY KEY (id),
    CONSTRAINT notification_event UNIQUE (event_id)
) WITH (fillfactor = 60);
CREATE INDEX notification_due ON notification (channel, due_time) WHERE state = 'PENDING';
CREATE INDEX notification_of_customer ON notification (customer_id, id DESC);
CREATE INDEX notification_changes ON notification (customer_id, change_xid, id);
CREATE INDEX notification_by_state ON notification (state, id DESC);
CREATE INDEX notification_by_kind ON notification (kind, id DESC);
"""

# A customer without a row wants everything.
PREFERENCES = """
CREATE TABLE preferences (
    customer_id uuid NOT NULL,
    mail_enabled boolean NOT NULL,
    muted_kinds text[] COLLATE "C" NOT NULL DEFAULT '{}',
    version bigint NOT NULL CHECK (version > 0),
    update_time timestamptz NOT NULL,
    CONSTRAINT preferences_pkey PRIMARY KEY (customer_id)
);
"""


def upgrade() -> None:
    """Create the tables."""
    create_chassis_tables()
    for table in (NOTIFICATION, PREFERENCES):
        op.execute(table)
