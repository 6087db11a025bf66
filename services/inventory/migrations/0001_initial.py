"""Stock, what was delivered, and what is held for orders."""

from alembic import op

from services.chassis.migrations.tables import create_chassis_tables

revision = "0001"
down_revision = None

# No index covers a figure, so that an update stays within its page, which is why pages are left half empty.
# `published_*` say what the world was told; they change a few times a second at most, however often the figures do.
STOCK = """
CREATE TABLE stock (
    product_id uuid NOT NULL,
    available bigint NOT NULL CONSTRAINT stock_available CHECK (available >= 0),
    reserved bigint NOT NULL DEFAULT 0 CHECK (reserved >= 0),
    sold bigint NOT NULL DEFAULT 0 CHECK (sold >= 0),
    received bigint NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    update_time timestamptz NOT NULL DEFAULT now(),
    published_version bigint NOT NULL DEFAULT 0,
    published_available bigint NOT NULL DEFAULT 0,
    published_xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    CONSTRAINT stock_pkey PRIMARY KEY (product_id),
    CONSTRAINT stock_conserved CHECK (available + reserved + sold = received)
) WITH (fillfactor = 50);
CREATE INDEX stock_by_publication ON stock (published_xid);
"""

# The sum of a product's movements is `stock.received`.
MOVEMENT = """
CREATE TABLE movement (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    product_id uuid NOT NULL,
    quantity bigint NOT NULL CHECK (quantity > 0),
    create_time timestamptz NOT NULL DEFAULT now()
);
"""

# Lines lie in the row in the order of products. A tombstone has none. The index must not speak of the state: a search
# by order and state would take it for the shorter way, through all that was held since it was last vacuumed.
RESERVATION = """
CREATE TABLE reservation (
    order_id uuid NOT NULL,
    state text NOT NULL CHECK (state IN ('HELD', 'COMMITTED', 'RELEASED', 'RESTOCKED')),
    product_ids uuid[] NOT NULL DEFAULT '{}',
    quantities integer[] NOT NULL DEFAULT '{}',
    cancelled boolean NOT NULL DEFAULT false,
    version bigint NOT NULL DEFAULT 1,
    expire_time timestamptz CHECK ((expire_time IS NOT NULL) = (state = 'HELD')),
    CONSTRAINT reservation_pkey PRIMARY KEY (order_id),
    CHECK (cardinality(product_ids) = cardinality(quantities))
) WITH (fillfactor = 80);
CREATE INDEX reservation_by_expiry ON reservation (expire_time) WHERE expire_time IS NOT NULL;
"""


def upgrade() -> None:
    """Create the tables."""
    create_chassis_tables()
    for table in (STOCK, MOVEMENT, RESERVATION):
        op.execute(table)
