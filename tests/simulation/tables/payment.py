"""The payment service's database in memory."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

from services.payment import store
from tests.simulation.tables import chassis
from tests.simulation.tables.chassis import BEFORE, DONE, Parameters, Row, Statement, seconds

CAPTURABLE = ("AUTHORIZED", "EXPIRED", "CAPTURING")
VOIDABLE = ("AUTHORIZED", "EXPIRED", "VOIDING", "VOIDED")


@dataclass(slots=True)
class MethodRow:
    """A row of `payment_method`, as far as an authorization needs it."""

    id: UUID
    customer_id: UUID
    processor_token: str


@dataclass(slots=True)
class PaymentRow:
    """A row of `payment`; a tombstone has neither customer nor amount."""

    order_id: UUID
    state: str
    expire_time: float
    customer_id: UUID | None = None
    payment_method_id: UUID | None = None
    currency_code: str | None = None
    amount: int | None = None
    processor_token: str = ""
    version: int = 1


class Tables(chassis.Tables):
    """All tables of the database."""

    def __init__(self, now: Callable[[], float]) -> None:
        """Begin empty."""
        super().__init__(now)
        self.payment_method: dict[UUID, MethodRow] = {}
        self.payment: dict[UUID, PaymentRow] = {}
        self.ledger: dict[tuple[UUID, str], int] = {}

    def tombstone(self, order_id: UUID, state: str) -> PaymentRow:
        """Write a payment that refuses the authorization that comes late."""
        self.payment[order_id] = PaymentRow(order_id, state, self.now() + store.HOLD)
        return self.payment[order_id]

    def become(self, payment: PaymentRow, state: str) -> None:
        """Put a payment into a state."""
        payment.state, payment.version = state, payment.version + 1

    def book(self, payment: PaymentRow, kind: str) -> None:
        """Write a booking."""
        assert payment.amount is not None
        assert (payment.order_id, kind) not in self.ledger
        self.ledger[payment.order_id, kind] = payment.amount


def get_method(t: Tables, p: Parameters) -> list[Row]:
    method = t.payment_method.get(p[0])
    if method is None or method.customer_id != p[1]:
        return []
    return [(method.id, method.customer_id, "VISA", "4242", 12, 2099, method.processor_token, BEFORE)]


def get(t: Tables, p: Parameters) -> list[Row]:
    payment = t.payment.get(p[0])
    return [_columns(t, payment)] if payment else []


def authorize(t: Tables, p: Parameters) -> list[Row]:
    if p["order_id"] in t.payment:
        return []
    t.remember(p)
    t.payment[p["order_id"]] = PaymentRow(
        p["order_id"], "AUTHORIZED", t.now() + seconds(p["hold"]), p["customer_id"], p["payment_method_id"],
        p["currency_code"], p["amount"], p["processor_token"],
    )  # fmt: skip
    return [(p["idem_request_id"],)]


def void(t: Tables, p: Parameters) -> list[Row]:
    payment = t.payment.get(p["order_id"])
    if payment is not None and payment.state not in VOIDABLE:
        return []
    t.remember(p)
    if payment is None:
        t.tombstone(p["order_id"], "VOIDED")
    else:
        t.become(payment, "VOIDED")
    return [(p["idem_request_id"],)]


def claim_capture(t: Tables, p: Parameters) -> list[Row]:
    payment = t.payment.get(p[0])
    if payment is None or payment.state not in CAPTURABLE:
        return []
    payment.state = "CAPTURING"
    return [_columns(t, payment)]


def expire(t: Tables, p: Parameters) -> list[Row]:
    now = t.now()
    late = [row for row in t.payment.values() if row.state == "AUTHORIZED" and row.expire_time <= now]
    late = sorted(late, key=lambda row: row.expire_time)[: p[0]]
    for payment in late:
        t.become(payment, "EXPIRED")
    return DONE * len(late)


def captured(t: Tables, p: Parameters) -> list[Row]:
    t.hear(p)
    payment = t.payment.get(p["order_id"])
    if payment is None or payment.state != "CAPTURING":
        return []
    t.become(payment, "CAPTURED")
    t.book(payment, "CAPTURE")
    return t.announce(p, payment.version)


def capture_failed(t: Tables, p: Parameters) -> list[Row]:
    t.hear(p)
    payment = t.payment.get(p["order_id"])
    if payment is None or payment.state != "CAPTURING":
        return []
    t.become(payment, "CAPTURE_FAILED")
    return t.announce(p, payment.version)


def claim_give_back(t: Tables, p: Parameters) -> list[Row]:
    payment = t.payment.get(p[0])
    if payment is None:
        payment = t.tombstone(p[0], "VOIDING")
    elif payment.state in ("CAPTURING", "REFUNDED"):
        return []
    elif payment.state in ("CAPTURED", "REFUNDING"):
        payment.state = "REFUNDING"
    elif payment.state != "VOIDED":
        payment.state = "VOIDING"
    return [_columns(t, payment)]


def given_back(t: Tables, p: Parameters) -> list[Row]:
    t.hear(p)
    payment = t.payment.get(p["order_id"])
    if payment is None or payment.state not in ("REFUNDING", "VOIDING", "VOIDED"):
        return []
    if payment.state == "REFUNDING":
        t.become(payment, "REFUNDED")
        t.book(payment, "REFUND")
    else:
        t.become(payment, "VOIDED")
    return t.announce(p, payment.version)


def _columns(t: Tables, row: PaymentRow) -> Row:
    lapsed = row.expire_time < t.now()
    return (row.order_id, row.state, row.customer_id, row.payment_method_id, row.currency_code, row.amount,
            row.processor_token, lapsed, BEFORE, BEFORE)  # fmt: skip


STATEMENTS: Mapping[str, Statement] = {
    **chassis.STATEMENTS,
    store.GET_METHOD: get_method,
    store.GET: get,
    store.AUTHORIZE: authorize,
    store.VOID: void,
    store.CLAIM_CAPTURE: claim_capture,
    store.EXPIRE: expire,
    store.CAPTURED: captured,
    store.CAPTURE_FAILED: capture_failed,
    store.CLAIM_GIVE_BACK: claim_give_back,
    store.GIVEN_BACK: given_back,
}
