"""What the shared fixtures promise."""

import psycopg
import pytest


async def test_a_database_belongs_to_its_role_and_is_empty(database_url):
    async with await psycopg.AsyncConnection.connect(await database_url()) as connection:
        tables = await connection.execute("SELECT current_user, count(*) FROM pg_tables WHERE schemaname = 'public'")
        row = await tables.fetchone()
    assert row == ("meshmart_empty", 0)


@pytest.mark.parametrize("attempt", ["first", "second"])
async def test_a_test_finds_no_streams_of_another(nats, attempt):
    connection = await nats.connect("order")
    stream = connection.jetstream()
    assert await stream.streams_info() == []
    await stream.add_stream(name="meshmart_order_v1", subjects=["meshmart.order.v1.>"])
    await stream.publish("meshmart.order.v1.OrderPlaced.0", attempt.encode())
    await connection.close()
