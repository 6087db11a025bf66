"""Sales are counted from the events of the whole shop, and rebuilt by replay to the same numbers."""

import asyncio
import sys
from functools import partial
from typing import Any

import pytest
from meshmart.analytics.v1.analytics_service_pb2 import GetCustomerValueRequest
from meshmart.analytics.v1.analytics_service_pb2_grpc import AnalyticsServiceStub
from meshmart.analytics.v1.sales_pb2 import CustomerValue

from scripts.local_run.process import ROOT
from tests.system.shopper import DECLINES, Shopper, cart
from tests.system.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


async def _ask(staff: Shopper, customer_id: str) -> Any:
    request = GetCustomerValueRequest(customer_id=customer_id)
    return await staff.call(AnalyticsServiceStub(staff.fronts.channel).GetCustomerValue, request)


async def _counted(staff: Shopper, customer_id: str) -> tuple[int, int, int, int]:
    """Return a customer's orders that were placed, captured and refunded, and what they are worth."""
    values = (await _ask(staff, customer_id)).values
    value = values[0] if values else CustomerValue()
    return value.placed_orders, value.orders, value.refunded_orders, value.value.minor_units


async def _replay(shop) -> str:
    """Rebuild the figures as an operator does; return what the command said last."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services", "events", "replay", "analytics",
        cwd=ROOT, env=shop.environment("analytics"), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode().splitlines()[-1]


@pytest.mark.parametrize("running", ["separate_shop", "one_process_shop"], indirect=True)
async def test_what_a_customer_bought_is_counted_and_counted_again_by_replay(shop, fronts, shopper):
    staff, product = await Shopper(shop, fronts).enter_as_staff(), await shopper.product()
    works, declines = await shopper.card(), await shopper.card(DECLINES)
    kept, cancelled = [await shopper.place(cart(product, works)) for _ in range(2)]
    await shopper.place(cart(product, declines))
    for order in (kept, cancelled):
        await shopper.becomes(order.id, "COMPLETED")
    await shopper.cancel(cancelled.id)

    expected = (3, 2, 1, kept.total.minor_units)
    await eventually(partial(_counted, staff, kept.customer_id), expected)
    before = (await _ask(staff, kept.customer_id)).freshness.generation
    said = await _replay(shop)

    assert said.startswith(f"generation {before + 1} answers: ")
    assert await _counted(staff, kept.customer_id) == expected
    assert (await _ask(staff, kept.customer_id)).freshness.generation == before + 1

    await shopper.place(cart(product, works))
    await eventually(partial(_counted, staff, kept.customer_id), (4, 3, 1, 2 * kept.total.minor_units))


@pytest.mark.parametrize("running", ["separate_shop"], indirect=True)
async def test_figures_are_for_staff_over_rest_too(shop, fronts, shopper):
    staff = await Shopper(shop, fronts).enter_as_staff()
    paths = (
        "/v1/sales:query?days.first=2026-11-01&days.last=2026-11-30&groupBy=GROUP_BY_CATEGORY",
        "/v1/sales:topProducts?days.first=2026-11-01&days.last=2026-11-30&currencyCode=EUR",
        "/v1/sales:funnel?days.first=2026-11-01&days.last=2026-11-30",
        "/v1/customerValues:top?currencyCode=EUR",
    )
    for path in paths:
        answer = await fronts.rest("GET", path, staff.token)
        assert (answer.status, "freshness" in answer.body) == (200, True), answer.text
        assert (await fronts.rest("GET", path, shopper.token)).status == 403
