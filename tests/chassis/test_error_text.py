"""What is written down of an error names its cause and quotes no values."""

import json
import logging

import grpc
import psycopg
import pytest
from google.protobuf.any_pb2 import Any
from google.rpc import error_details_pb2, status_pb2

from services.chassis.delivery import MalformedEventError
from services.chassis.error_text import LONGEST, describe, trace
from services.chassis.errors import DomainError, Kind
from services.chassis.logs import JsonFormatter
from services.chassis.neighbour_errors import NeighbourCallError
from services.chassis.status import DETAILS_KEY

SECRET = "ann@example.com"
TAKEN = "INSERT INTO customer VALUES ('ann@example.com')"


class Refused(DomainError):
    kind = Kind.FAILED_PRECONDITION
    reason = "REFUSED"


@pytest.fixture
async def database_error(database_url):
    """Return a function that gives the error of a statement."""
    url = await database_url()

    def error_of(statement: str) -> psycopg.Error:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE TABLE customer (email text UNIQUE CHECK (email <> 'nobody'), age int)")
            connection.execute("INSERT INTO customer VALUES (%s)", (SECRET,))
            with pytest.raises(psycopg.Error) as raised:
                connection.execute(statement)
            return raised.value

    return error_of


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        pytest.param(
            TAKEN,
            'UniqueViolation 23505: duplicate key value violates unique constraint "customer_email_key"',
            id="a key that is taken",
        ),
        pytest.param(
            "INSERT INTO customer VALUES ('nobody')",
            'CheckViolation 23514: new row for relation "customer" violates check constraint "customer_email_check"',
            id="a rule",
        ),
        pytest.param("SELECT 'ann@example.com'::int", "InvalidTextRepresentation 22P02", id="a value of another type"),
        pytest.param("SELECT 1 FROM nowhere", 'UndefinedTable 42P01: relation "nowhere" does not exist', id="a bug"),
    ],
)
def test_an_error_of_the_database_names_rule_and_code(database_error, statement, text):
    error = database_error(statement)
    assert describe(error) == text
    assert SECRET not in trace(error)


def test_a_foreign_error_says_where_it_was_raised():
    with pytest.raises(ValueError, match=SECRET) as raised:
        int(SECRET)
    assert describe(raised.value).startswith("ValueError in test_a_foreign_error_says_where_it_was_raised (test_error_")
    assert SECRET not in trace(raised.value).replace("int(SECRET)", "")


def test_a_neighbour_is_named_with_code_and_reason():
    info = Any()
    info.Pack(error_details_pb2.ErrorInfo(reason="STOCK_GONE"))
    details = status_pb2.Status(code=9, details=[info]).SerializeToString()
    trailers = grpc.aio.Metadata((DETAILS_KEY, details))
    refused = grpc.aio.AioRpcError(grpc.StatusCode.FAILED_PRECONDITION, grpc.aio.Metadata(), trailers, details=SECRET)
    silent = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata())
    assert describe(NeighbourCallError("inventory", refused)) == "inventory answered FAILED_PRECONDITION STOCK_GONE"
    assert describe(silent) == "a neighbour answered UNAVAILABLE"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (Refused("order 7 has\nno payment"), "REFUSED: order 7 has no payment"),
        (MalformedEventError("it is a letter"), "MalformedEventError: it is a letter"),
        (psycopg.OperationalError(f"connection to {SECRET} failed"), "OperationalError"),
    ],
    ids=["a refusal", "ours", "a lost database"],
)
def test_our_own_sentences_are_kept_on_one_line(error, text):
    assert describe(error) == text


def test_a_text_ends_somewhere():
    assert len(describe(Refused("no " * 1000))) == LONGEST


def test_a_logged_exception_quotes_no_key(database_error):
    with pytest.raises(KeyError) as raised:
        raise KeyError("lost") from database_error(TAKEN)
    record = logging.LogRecord("", logging.ERROR, "", 0, "failed", (), (KeyError, raised.value, raised.tb))
    entry = json.loads(JsonFormatter().format(record))
    assert SECRET not in json.dumps(entry)
    assert "test_a_logged_exception_quotes_no_key" in entry["exception"]
    assert "UniqueViolation 23505" in entry["exception"]
