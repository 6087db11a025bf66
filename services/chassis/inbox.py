"""A consumer records the events it has handled in the statement of their effect, so that a repeat has none.

A store puts `heard AS ({inbox.INSERT})` into its statement and gives it `delivery.inbox_parameters()`. A repeat
breaks the unique key, the statement does nothing, and the consumer acknowledges the message.
"""

from typing import Final

import psycopg

CONSTRAINT: Final = "inbox_pkey"

INSERT: Final = """
INSERT INTO inbox (consumer, generation, event_id)
VALUES (%(inbox_consumer)s, %(inbox_generation)s, %(inbox_event_id)s)"""


def is_repeat(error: BaseException) -> bool:
    """Return whether a handler failed because the event had been handled before."""
    return isinstance(error, psycopg.errors.UniqueViolation) and error.diag.constraint_name == CONSTRAINT
