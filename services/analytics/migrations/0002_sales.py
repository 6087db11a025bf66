"""What is known of each order, and the sums that queries read. Every table carries the generation of the read model."""

from alembic import op

from services.chassis.migrations.tables import create_generations

revision = "0002"
down_revision = "0001"

# Any event of an order may come first. Each sets what it tells once, and what follows from it is added to the sums in
# the same statement. Nothing but the key is indexed, so that a row is updated within its page.
ORDERS = """
CREATE TABLE known_order (
    generation integer NOT NULL,
    order_id uuid NOT NULL,
    place_time timestamptz,
    customer_id uuid,
    currency_code text,
    product_ids uuid[],
    quantities integer[],
    amounts bigint[],
    confirm_time timestamptz,
    capture_time timestamptz,
    captured bigint,
    capture_fail_time timestamptz,
    reject_time timestamptz,
    cancel_time timestamptz,
    refund_time timestamptz,
    refunded bigint,
    close_time timestamptz,
    CONSTRAINT known_order_pkey PRIMARY KEY (generation, order_id)
) WITH (fillfactor = 60);
"""

PRODUCTS = """
CREATE TABLE product (
    generation integer NOT NULL,
    product_id uuid NOT NULL,
    display_name text NOT NULL,
    category text NOT NULL,
    version bigint NOT NULL,
    CONSTRAINT product_pkey PRIMARY KEY (generation, product_id)
);
"""

# Units and amounts of an order are the same in both tables: as a whole, and by product.
SALES = """
CREATE TABLE day_sales (
    generation integer NOT NULL,
    day date NOT NULL,
    currency_code text COLLATE "C" NOT NULL,
    orders bigint NOT NULL,
    refunded_orders bigint NOT NULL,
    units bigint NOT NULL,
    captured bigint NOT NULL,
    refunded bigint NOT NULL,
    CONSTRAINT day_sales_pkey PRIMARY KEY (generation, day, currency_code)
) WITH (fillfactor = 50);
CREATE TABLE product_sales (
    generation integer NOT NULL,
    day date NOT NULL,
    product_id uuid NOT NULL,
    currency_code text COLLATE "C" NOT NULL,
    orders bigint NOT NULL,
    refunded_orders bigint NOT NULL,
    units bigint NOT NULL,
    captured bigint NOT NULL,
    refunded bigint NOT NULL,
    CONSTRAINT product_sales_pkey PRIMARY KEY (generation, day, product_id, currency_code)
) WITH (fillfactor = 50);
CREATE INDEX product_sales_by_product ON product_sales (generation, product_id, day);
"""

FUNNEL = """
CREATE TABLE funnel (
    generation integer NOT NULL,
    day date NOT NULL,
    placed bigint NOT NULL,
    confirmed bigint NOT NULL,
    captured bigint NOT NULL,
    capture_failed bigint NOT NULL,
    rejected bigint NOT NULL,
    cancelled bigint NOT NULL,
    refunded bigint NOT NULL,
    closed bigint NOT NULL,
    CONSTRAINT funnel_pkey PRIMARY KEY (generation, day)
) WITH (fillfactor = 50);
"""

CUSTOMERS = """
CREATE TABLE customer_value (
    generation integer NOT NULL,
    customer_id uuid NOT NULL,
    currency_code text COLLATE "C" NOT NULL,
    placed_orders bigint NOT NULL,
    orders bigint NOT NULL,
    refunded_orders bigint NOT NULL,
    value bigint NOT NULL,
    first_order_time timestamptz NOT NULL,
    last_order_time timestamptz NOT NULL,
    CONSTRAINT customer_value_pkey PRIMARY KEY (generation, customer_id, currency_code)
) WITH (fillfactor = 80);
CREATE INDEX customer_value_by_value ON customer_value (generation, currency_code, value DESC, customer_id);
"""


def upgrade() -> None:
    """Create the tables."""
    create_generations()
    for table in (ORDERS, PRODUCTS, SALES, FUNNEL, CUSTOMERS):
        op.execute(table)
