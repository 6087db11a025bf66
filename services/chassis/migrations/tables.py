"""The tables that every service has: what the chassis writes beside a service's own."""

from alembic import op

IDEMPOTENCY = """
CREATE TABLE idempotency (
    request_id uuid NOT NULL,
    principal text COLLATE "C" NOT NULL,
    method text COLLATE "C" NOT NULL,
    request_hash bytea NOT NULL CHECK (length(request_hash) = 32),
    reply bytea NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT idempotency_pkey PRIMARY KEY (request_id, principal, method)
);
CREATE INDEX idempotency_by_time ON idempotency (create_time);
"""

# A row is updated once, when it was published. Pages leave room for that second version, and vacuum comes by count,
# not by share: the few unpublished rows must be found fast in a table that keeps a week of published ones.
OUTBOX = """
CREATE TABLE outbox (
    position bigint GENERATED ALWAYS AS IDENTITY,
    event_id uuid NOT NULL,
    subject text NOT NULL,
    event_type text NOT NULL,
    aggregate_id text NOT NULL CHECK (aggregate_id <> ''),
    aggregate_version bigint NOT NULL CHECK (aggregate_version > 0),
    payload bytea NOT NULL,
    traceparent text NOT NULL DEFAULT '',
    create_time timestamptz NOT NULL DEFAULT now(),
    publish_time timestamptz,
    CONSTRAINT outbox_pkey PRIMARY KEY (position)
) WITH (
    fillfactor = 60,
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 100000
);
CREATE INDEX outbox_unpublished ON outbox (position) WHERE publish_time IS NULL;
"""

# The event first: it tells rows apart at once, and ids sort by time, so that inserts meet in few pages.
INBOX = """
CREATE TABLE inbox (
    event_id uuid NOT NULL,
    consumer text COLLATE "C" NOT NULL,
    generation integer NOT NULL DEFAULT 1,
    create_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT inbox_pkey PRIMARY KEY (event_id, consumer, generation)
);
CREATE INDEX inbox_by_time ON inbox (create_time);
"""

# At most one generation answers and one is being built. Numbers are never used again: a statement that is late may
# still write to one that was given up.
GENERATION = """
CREATE TABLE generation (
    number integer GENERATED ALWAYS AS IDENTITY,
    state text NOT NULL CHECK (state IN ('BUILDING', 'CURRENT', 'RETIRED')),
    create_time timestamptz NOT NULL DEFAULT now(),
    swap_time timestamptz,
    CONSTRAINT generation_pkey PRIMARY KEY (number)
);
CREATE UNIQUE INDEX generation_by_state ON generation (state) WHERE state <> 'RETIRED';
INSERT INTO generation (state, swap_time) VALUES ('CURRENT', now());
"""


def create_chassis_tables() -> None:
    """Create idempotency, outbox and inbox. Each service's first migration calls it."""
    for table in (IDEMPOTENCY, OUTBOX, INBOX):
        op.execute(table)


def create_generations() -> None:
    """Create the table of generations with the first. The migration of a read model calls it."""
    op.execute(GENERATION)
