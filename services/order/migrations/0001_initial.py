"""Orders and their sagas."""

from alembic import op

from services.chassis.migrations.tables import create_chassis_tables

revision = "0001"
down_revision = None

TABLES = """
CREATE TABLE orders (
    id uuid PRIMARY KEY,
    customer_id uuid NOT NULL,
    payment_method_id uuid NOT NULL,
    state text NOT NULL CHECK (state IN ('PENDING', 'CONFIRMED', 'COMPLETED', 'REJECTED', 'CANCELLED', 'CLOSED')),
    version bigint NOT NULL CHECK (version > 0),
    currency_code text NOT NULL,
    total bigint NOT NULL CHECK (total >= 0),
    lines jsonb NOT NULL,
    changes jsonb NOT NULL,
    refunded boolean NOT NULL DEFAULT false,
    restocked boolean NOT NULL DEFAULT false,
    CHECK (state <> 'CLOSED' OR (refunded AND restocked))
) WITH (fillfactor = 70);

CREATE INDEX orders_of_customer ON orders (customer_id, id DESC);

CREATE TABLE saga (
    order_id uuid PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('FORWARD', 'COMPENSATING')),
    reason text NOT NULL DEFAULT '',
    version bigint NOT NULL DEFAULT 1,
    lease_until timestamptz NOT NULL,
    confirm_before timestamptz NOT NULL
) WITH (fillfactor = 70);

CREATE INDEX saga_by_lease ON saga (lease_until);
"""


def upgrade() -> None:
    """Create the tables."""
    create_chassis_tables()
    op.execute(TABLES)
