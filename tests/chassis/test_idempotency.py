"""A repeated request gets the first reply; the effect happens once."""

import asyncio
import time

import psycopg
import pytest
from meshmart.order.v1.order_service_pb2 import CancelOrderResponse

from services.chassis import call as call_module
from services.chassis import idempotency
from services.chassis.call import Call, Principal
from services.chassis.contract import Access, MethodContract
from services.chassis.database import Database
from services.chassis.housekeeping import clean_up
from services.chassis.ids import new_id
from services.chassis.outbox import Outbox
from services.chassis.refusals import RequestIdReused
from tests.chassis.eventing import make_tables, write_many

REMEMBER = f"{idempotency.INSERT} VALUES ({idempotency.VALUES})"
REMEMBER_A_CHANGE = (
    f"WITH changed AS (SELECT 1 WHERE %(changed)s) {idempotency.INSERT} SELECT {idempotency.VALUES} FROM changed"  # noqa: S608  # constants
)
REPLY = CancelOrderResponse()
REPLY.order.id = "the first"


def contract(method: str) -> MethodContract:
    return MethodContract(method, "order", Access.CUSTOMER, frozenset(), 1, 1, 1, True, True, False, False)  # noqa: FBT003


def serving(
    request_id: str = "", *, method: str = "/a.B/C", subject: str | None = "me", hash_: bytes = b"1" * 32
) -> Call:
    """Begin to serve a call, as the pipeline does."""
    principal = Principal(subject, "session", "customer", "token") if subject else None
    call = Call(contract(method), principal, time.monotonic() + 10, "", sampled=False)
    call.request_id, call.request_hash = request_id, hash_
    call_module._current.set(call)
    return call


@pytest.fixture(autouse=True)
def _no_call():
    yield
    call_module._current.set(None)


@pytest.fixture
async def database(database_url):
    async with Database(make_tables(await database_url()), name="test") as database:
        yield database


async def test_a_repeat_finds_the_first_reply(database):
    request_id = str(new_id())
    call = serving(request_id)
    assert await idempotency.stored_reply(database, call) is None
    await database.execute(REMEMBER, idempotency.parameters(REPLY))
    assert await idempotency.stored_reply(database, call) == REPLY.SerializeToString()
    with pytest.raises(psycopg.errors.UniqueViolation):
        await database.execute(REMEMBER, idempotency.parameters(REPLY))


async def test_the_form_of_the_request_id_does_not_matter(database):
    request_id = str(new_id())
    serving(request_id)
    await database.execute(REMEMBER, idempotency.parameters(REPLY))
    assert await idempotency.stored_reply(database, serving(request_id.upper())) == REPLY.SerializeToString()


@pytest.mark.parametrize(
    "others",
    [
        pytest.param({"subject": "somebody else"}, id="of somebody else"),
        pytest.param({"subject": None}, id="of nobody"),
        pytest.param({"method": "/a.B/D"}, id="of another method"),
    ],
)
async def test_the_same_request_id_is_not_a_repeat(database, others):
    request_id = str(new_id())
    serving(request_id)
    await database.execute(REMEMBER, idempotency.parameters(REPLY))
    other = serving(request_id, **others)
    assert await idempotency.stored_reply(database, other) is None
    await database.execute(REMEMBER, idempotency.parameters(REPLY))


async def test_a_request_id_used_for_another_request_is_refused(database):
    request_id = str(new_id())
    serving(request_id)
    await database.execute(REMEMBER, idempotency.parameters(REPLY))
    with pytest.raises(RequestIdReused) as refusal:
        await idempotency.stored_reply(database, serving(request_id, hash_=b"2" * 32))
    assert refusal.value.metadata == {"request_id": request_id}


async def test_of_twenty_at_once_one_is_remembered(database):
    request_id = str(new_id())

    async def once():
        serving(request_id)
        try:
            return await database.execute(REMEMBER, idempotency.parameters(REPLY)) == 1
        except psycopg.errors.UniqueViolation:
            return False

    assert sum(await asyncio.gather(*(once() for _ in range(20)))) == 1


async def test_what_had_no_effect_is_not_remembered(database):
    call = serving(str(new_id()))
    await database.execute(REMEMBER_A_CHANGE, {**idempotency.parameters(REPLY), "changed": False})
    assert await idempotency.stored_reply(database, call) is None
    await database.execute(REMEMBER_A_CHANGE, {**idempotency.parameters(REPLY), "changed": True})
    assert await idempotency.stored_reply(database, call) is not None


def test_a_method_without_request_id_remembers_nothing():
    serving()
    with pytest.raises(LookupError, match="not declared IDEMPOTENT"):
        idempotency.parameters(REPLY)


async def test_old_rows_are_deleted_and_young_or_unpublished_ones_stay(database):
    request_id = str(new_id())
    for _ in range(3):
        serving(str(new_id()))
        await database.execute(REMEMBER, idempotency.parameters(REPLY))
    await database.execute("UPDATE idempotency SET create_time = now() - interval '25 hours'")
    call = serving(request_id)
    await database.execute(REMEMBER, idempotency.parameters(REPLY))
    await write_many(database, 10)
    await database.execute("UPDATE outbox SET publish_time = now() - interval '8 days' WHERE position <= 4")
    await database.execute("UPDATE outbox SET publish_time = now() - interval '6 days' WHERE position = 5")
    await database.execute(
        "INSERT INTO inbox (event_id, consumer, create_time) SELECT gen_random_uuid(), 'me', now() - n * interval '10 days'"
        " FROM generate_series(1, 2) AS n"
    )
    assert await clean_up(database) == {"idempotency": 3, "outbox": 4, "inbox": 1}
    assert await clean_up(database) == {"idempotency": 0, "outbox": 0, "inbox": 0}
    assert await idempotency.stored_reply(database, call) is not None
    assert await database.one("SELECT count(*) FROM outbox") == (6,)


def test_only_events_are_written_to_the_outbox():
    with pytest.raises(ValueError, match="is not an event"):
        Outbox().parameters(REPLY, new_id())
