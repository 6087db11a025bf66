"""Products and what finds them."""

from alembic import op

from services.chassis.migrations.tables import create_chassis_tables

revision = "0001"
down_revision = None

TABLES = """
CREATE EXTENSION IF NOT EXISTS pg_trgm;

-- Said to be immutable, as array_to_string is for text, so that generated columns may call it.
CREATE FUNCTION product_words(display_name text, category text, tags text[]) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN lower(concat_ws(' ', display_name, replace(category, '-', ' '), array_to_string(tags, ' ')));

-- Names are ordered and paged by bytes, which no upgrade of the system's locales changes.
CREATE TABLE product (
    id uuid PRIMARY KEY,
    sku text NOT NULL CONSTRAINT product_sku_key UNIQUE,
    display_name text COLLATE "C" NOT NULL CHECK (display_name <> ''),
    description text NOT NULL,
    category text NOT NULL CHECK (category <> ''),
    currency_code text NOT NULL,
    minor_units bigint NOT NULL CHECK (minor_units >= 0),
    tags text[] NOT NULL,
    version bigint NOT NULL CHECK (version > 0),
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    words text NOT NULL GENERATED ALWAYS AS (product_words(display_name, category, tags)) STORED,
    document tsvector NOT NULL GENERATED ALWAYS AS (
        setweight(to_tsvector('english', display_name), 'A')
        || setweight(to_tsvector('english', product_words('', category, tags)), 'B')
        || setweight(to_tsvector('english', description), 'C')
    ) STORED
);

CREATE INDEX product_by_name ON product (display_name, id);
CREATE INDEX product_by_category ON product (category, display_name, id);
CREATE INDEX product_document ON product USING gin (document);
CREATE INDEX product_words_trigram ON product USING gin (words gin_trgm_ops);
"""

# At the default threshold of 0.6 two swapped letters hide a short word. A function carries its own threshold, where a
# session could not: connections are pooled. Loaded first, because only a loaded extension lets its settings be set.
SIMILARITY = """
SELECT show_limit();

CREATE FUNCTION similar_products(searched text[]) RETURNS TABLE (id uuid, rank double precision)
LANGUAGE sql STABLE
SET pg_trgm.word_similarity_threshold = 0.45
AS $$
    -- Once for where the word is, once more for being in the name.
    SELECT product.id, sum(word_similarity(word, product.words) + word_similarity(word, product.display_name))
           / (2 * cardinality(searched))
    FROM unnest(searched) AS word
    JOIN product ON word <% product.words
    GROUP BY product.id
    HAVING count(*) * 2 > cardinality(searched)
$$;
"""


def upgrade() -> None:
    """Create the tables, the search among them."""
    create_chassis_tables()
    op.execute(TABLES)
    op.execute(SIMILARITY)
