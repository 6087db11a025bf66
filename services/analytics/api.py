"""The analytics service's calls: read the request, ask the read model, build the response.

How fresh an answer is was looked up before the answer: what was counted then is in it.
"""

import zlib
from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from meshmart.analytics.v1 import analytics_service_pb2 as pb
from meshmart.analytics.v1 import sales_pb2
from meshmart.analytics.v1.analytics_service_pb2_grpc import AnalyticsServiceServicer

from services.analytics import domain, messages
from services.analytics.domain import CustomerValue, Days, Group, Question, Rank, Sales
from services.analytics.reader import Place, SalesReader
from services.chassis import pages
from services.chassis.freshness import Freshness

GROUPS: Final = {
    pb.QuerySalesRequest.GROUP_BY_UNSPECIFIED: Group.DAY,
    pb.QuerySalesRequest.GROUP_BY_DAY: Group.DAY,
    pb.QuerySalesRequest.GROUP_BY_CATEGORY: Group.CATEGORY,
    pb.QuerySalesRequest.GROUP_BY_PRODUCT: Group.PRODUCT,
}
RANKS: Final[dict[int, tuple[Rank, Callable[[Sales], int]]]] = {
    pb.ListTopProductsRequest.ORDER_BY_UNSPECIFIED: (Rank.REVENUE, lambda product: product.revenue),
    pb.ListTopProductsRequest.ORDER_BY_REVENUE: (Rank.REVENUE, lambda product: product.revenue),
    pb.ListTopProductsRequest.ORDER_BY_UNITS: (Rank.UNITS, lambda product: product.units),
}


class AnalyticsApi(AnalyticsServiceServicer):
    """Serves `meshmart.analytics.v1.AnalyticsService`."""

    def __init__(self, reader: SalesReader, freshness: Freshness) -> None:
        """Keep the collaborators."""
        self._reader = reader
        self._freshness = freshness

    async def QuerySales(self, request: pb.QuerySalesRequest, context: Any) -> pb.QuerySalesResponse:
        """Sum sales."""
        question = _question(request)
        page = pages.read(request, _list_of("QuerySales", question), keys=2)
        reached = await self._freshness.reached()
        key, currency = page.after or ("", "")
        answer = await self._reader.sales(question, (key, currency), page.size + 1)
        shown, token = pages.cut(page, answer.rows, lambda row: [row.key, row.currency_code])
        return pb.QuerySalesResponse(
            sales=[messages.sales(row, question.group) for row in shown],
            next_page_token=token,
            freshness=messages.freshness(reached, answer.generation),
        )

    async def ListTopProducts(self, request: pb.ListTopProductsRequest, context: Any) -> pb.ListTopProductsResponse:
        """List products, best first."""
        days, (rank, figure) = _days(request.days), RANKS[request.order_by]
        page = pages.read(request, _list_of("ListTopProducts", days, request.currency_code, rank), keys=2)
        after = _place(page, Place, int, str)
        reached = await self._freshness.reached()
        answer = await self._reader.top_products(days, request.currency_code, rank, after, page.size + 1)
        shown, token = pages.cut(page, answer.rows, lambda row: [str(figure(row)), row.key])
        return pb.ListTopProductsResponse(
            products=[messages.sales(row, Group.PRODUCT) for row in shown],
            next_page_token=token,
            freshness=messages.freshness(reached, answer.generation),
        )

    async def GetFunnel(self, request: pb.GetFunnelRequest, context: Any) -> pb.GetFunnelResponse:
        """Count the steps of orders."""
        days = _days(request.days)
        reached = await self._freshness.reached()
        answer = await self._reader.funnel(days)
        return pb.GetFunnelResponse(
            funnel=sales_pb2.Funnel(**answer.rows[0]), freshness=messages.freshness(reached, answer.generation)
        )

    async def GetCustomerValue(self, request: pb.GetCustomerValueRequest, context: Any) -> pb.GetCustomerValueResponse:
        """Value a customer."""
        reached = await self._freshness.reached()
        answer = await self._reader.customer(UUID(request.customer_id))
        return pb.GetCustomerValueResponse(
            values=map(messages.customer_value, answer.rows),
            freshness=messages.freshness(reached, answer.generation),
        )

    async def ListTopCustomers(self, request: pb.ListTopCustomersRequest, context: Any) -> pb.ListTopCustomersResponse:
        """List customers, highest value first."""
        page = pages.read(request, _list_of("ListTopCustomers", request.currency_code), keys=2)
        after = _place(page, lambda *place: place, int, UUID)
        reached = await self._freshness.reached()
        answer = await self._reader.top_customers(request.currency_code, after, page.size + 1)
        shown, token = pages.cut(page, answer.rows, _place_of)
        return pb.ListTopCustomersResponse(
            customers=map(messages.customer_value, shown),
            next_page_token=token,
            freshness=messages.freshness(reached, answer.generation),
        )


def _days(days: pb.Days) -> Days:
    return domain.days(days.first, days.last)


def _question(request: pb.QuerySalesRequest) -> Question:
    return Question(
        _days(request.days),
        GROUPS[request.group_by],
        request.category,
        UUID(request.product_id) if request.product_id else None,
        request.currency_code,
    )


def _list_of(method: str, *asked: object) -> str:
    """Return whose tokens a list takes: those of the same method and question, in few letters for the token's sake."""
    return f"{method} {zlib.crc32(repr(asked).encode()):x}"


def _place(page: pages.Page, make: Callable[..., Any], *kinds: Callable[[str], Any]) -> Any:
    """Return the place that a page begins after; None for the first page."""
    if page.after is None:
        return None
    try:
        return make(*(kind(key) for kind, key in zip(kinds, page.after, strict=True)))
    except ValueError:
        raise pages.PageTokenInvalid("page_token holds no place in the list") from None


def _place_of(value: CustomerValue) -> list[str]:
    return [str(value.value.minor_units), str(value.customer_id)]
