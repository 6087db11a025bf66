"""Payment methods, payments and the ledger."""

from alembic import op

from services.chassis.migrations.tables import create_chassis_tables

revision = "0001"
down_revision = None

TABLES = """
CREATE TABLE payment_method (
    id uuid PRIMARY KEY,
    customer_id uuid NOT NULL,
    brand text NOT NULL,
    last_four text NOT NULL CHECK (last_four ~ '^[0-9]{4}$'),
    expire_month smallint NOT NULL,
    expire_year smallint NOT NULL,
    processor_token text NOT NULL,
    create_time timestamptz NOT NULL
);

CREATE INDEX payment_method_of_customer ON payment_method (customer_id, id DESC);

CREATE TABLE payment (
    order_id uuid PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('AUTHORIZED', 'CAPTURING', 'CAPTURED', 'CAPTURE_FAILED',
                                         'VOIDING', 'VOIDED', 'REFUNDING', 'REFUNDED')),
    customer_id uuid,
    payment_method_id uuid,
    currency_code text,
    amount bigint CHECK (amount > 0),
    processor_token text NOT NULL DEFAULT '',
    version bigint NOT NULL DEFAULT 1,
    expire_time timestamptz NOT NULL DEFAULT now() + interval '24 hours',
    create_time timestamptz NOT NULL DEFAULT now(),
    update_time timestamptz NOT NULL DEFAULT now(),
    CHECK (state IN ('VOIDING', 'VOIDED') OR amount IS NOT NULL)
) WITH (fillfactor = 70);

-- Double entry in one row: what one account is given, the other gives. The key is what keeps a card from being
-- captured or refunded twice.
CREATE TABLE ledger (
    order_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('CAPTURE', 'REFUND')),
    debit_account text NOT NULL,
    credit_account text NOT NULL,
    currency_code text NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0),
    create_time timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (order_id, kind),
    CHECK (debit_account <> credit_account)
);
"""


def upgrade() -> None:
    """Create the tables."""
    create_chassis_tables()
    op.execute(TABLES)
