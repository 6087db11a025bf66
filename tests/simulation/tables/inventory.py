"""The inventory service's database in memory."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from services.inventory import statements, stock_store
from tests.simulation.tables import chassis
from tests.simulation.tables.chassis import (
    BEFORE,
    CheckViolation,
    Parameters,
    Row,
    Statement,
    UniqueViolation,
    seconds,
)


@dataclass(slots=True)
class StockRow:
    """A row of `stock`."""

    available: int
    reserved: int = 0
    sold: int = 0
    version: int = 1


@dataclass(slots=True)
class ReservationRow:
    """A row of `reservation`; a tombstone has no lines."""

    order_id: UUID
    state: str
    product_ids: Sequence[UUID] = ()
    quantities: Sequence[int] = ()
    cancelled: bool = False
    version: int = 1
    expire_time: float | None = None


class Tables(chassis.Tables):
    """All tables of the database."""

    def __init__(self, now: Callable[[], float]) -> None:
        """Begin empty."""
        super().__init__(now)
        self.stock: dict[UUID, StockRow] = {}
        self.movement: list[tuple[UUID, int]] = []
        self.reservation: dict[UUID, ReservationRow] = {}
        self.clashes: Callable[[], bool] = lambda: False
        """Whether a tombstone meets a reservation that is made at the same moment: statements here do not overlap."""

    def enough(self, p: Parameters) -> bool:
        """Whether all units are available."""
        lines = zip(p["product_ids"], p["quantities"], strict=True)
        return all(product in self.stock and self.stock[product].available >= units for product, units in lines)

    def move(self, reservation: ReservationRow, **shares: int) -> list[Row]:
        """Move the units of a reservation between figures, and return its products. Raises CheckViolation."""
        lines = list(zip(reservation.product_ids, reservation.quantities, strict=True))
        for product_id, units in lines:
            for figure, sign in shares.items():
                if getattr(self.stock[product_id], figure) + sign * units < 0:
                    raise CheckViolation(f"stock_{figure}" if figure == "available" else f"stock_{figure}_check")
        for product_id, units in lines:
            stock = self.stock[product_id]
            stock.version += 1
            for figure, sign in shares.items():
                setattr(stock, figure, getattr(stock, figure) + sign * units)
        return [(list(reservation.product_ids),)]


def restock(t: Tables, p: Parameters) -> list[Row]:
    product_id, quantity = p["product_id"], p["quantity"]
    t.movement.append((product_id, quantity))
    stock = t.stock.setdefault(product_id, StockRow(0, version=0))
    stock.available += quantity
    stock.version += 1
    return [(product_id, stock.available, stock.reserved, stock.sold, BEFORE)]


def reserve(t: Tables, p: Parameters) -> list[Row]:
    if not t.enough(p):
        return []
    if p["order_id"] in t.reservation:
        raise UniqueViolation("reservation_pkey")
    t.remember(p)
    expire_time = t.now() + seconds(p["hold"])
    held = ReservationRow(p["order_id"], "HELD", p["product_ids"], p["quantities"], expire_time=expire_time)
    t.move(held, available=-1, reserved=+1)
    t.reservation[held.order_id] = held
    return [(True,)]


def commit(t: Tables, p: Parameters) -> list[Row]:
    found = t.reservation.get(p["order_id"])
    if found is None or found.state != "HELD":
        return []
    t.hear(p)
    _become(found, "COMMITTED")
    return t.move(found, reserved=-1, sold=+1)


def take_again(t: Tables, p: Parameters) -> list[Row]:
    found = t.reservation.get(p["order_id"])
    if not t.enough(p) or not (found is None or _may_be_sold_again(found)):
        return []
    t.hear(p)
    if found is None:
        found = t.reservation[p["order_id"]] = ReservationRow(p["order_id"], "COMMITTED")
    else:
        _become(found, "COMMITTED")
    found.product_ids, found.quantities = p["product_ids"], p["quantities"]
    return t.move(found, available=-1, sold=+1)


def fail_commit(t: Tables, p: Parameters) -> list[Row]:
    found = t.reservation.get(p["order_id"])
    if not (found is None or _may_be_sold_again(found)):
        return []
    t.hear(p)
    if found is None:
        found = t.reservation[p["order_id"]] = ReservationRow(p["order_id"], "RELEASED")
    else:
        found.version += 1
    return t.announce(p, found.version)


def _may_be_sold_again(found: ReservationRow) -> bool:
    return found.state == "RELEASED" and not found.cancelled


def release(t: Tables, p: Parameters) -> list[Row]:
    found = t.reservation.get(p["order_id"])
    if found is None:
        t.remember(p)
        t.reservation[p["order_id"]] = ReservationRow(p["order_id"], "RELEASED")
        return [([],)]
    if found.state != "HELD":
        return []
    t.remember(p)
    _become(found, "RELEASED")
    t.announce(p, found.version)
    return t.move(found, available=+1, reserved=-1)


def expire(t: Tables, p: Parameters) -> list[Row]:
    found = t.reservation.get(p["order_id"])
    if found is None or found.expire_time is None or found.expire_time > t.now():
        return []
    _become(found, "RELEASED")
    t.announce(p, found.version)
    return t.move(found, available=+1, reserved=-1)


def expired(t: Tables, p: Parameters) -> list[Row]:
    now = t.now()
    held = [(r.expire_time, r.order_id) for r in t.reservation.values() if r.expire_time is not None]
    return [(order_id,) for expire_time, order_id in sorted(held)[: p["limit"]] if expire_time <= now]


def cancel(t: Tables, p: Parameters) -> list[Row]:
    found = t.reservation.get(p["order_id"])
    if found is not None and found.cancelled:
        return []
    if found is None and t.clashes():
        raise UniqueViolation("reservation_pkey")
    t.hear(p)
    if found is None:
        found = t.reservation[p["order_id"]] = ReservationRow(p["order_id"], "RELEASED", cancelled=True)
        t.announce(p, found.version)
        return [([],)]
    was, found.cancelled = found.state, True
    _become(found, "RESTOCKED" if was == "COMMITTED" else "RELEASED")
    t.announce(p, found.version)
    if was not in ("HELD", "COMMITTED"):
        return [([],)]
    return t.move(found, available=+1, **{"reserved" if was == "HELD" else "sold": -1})


def find(t: Tables, p: Parameters) -> list[Row]:
    found = t.reservation.get(p["order_id"])
    return [(found.state, found.product_ids, found.quantities, found.cancelled)] if found else []


def short(t: Tables, p: Parameters) -> list[Row]:
    lines = zip(p["product_ids"], p["quantities"], strict=True)
    return [(product,) for product, units in lines if product not in t.stock or t.stock[product].available < units]


def _become(found: ReservationRow, state: str) -> None:
    found.state, found.version, found.expire_time = state, found.version + 1, None


STATEMENTS: Mapping[str, Statement] = {
    **chassis.STATEMENTS,
    stock_store.RESTOCK: restock,
    statements.RESERVE: reserve,
    statements.COMMIT: commit,
    statements.TAKE_AGAIN: take_again,
    statements.FAIL_COMMIT: fail_commit,
    statements.RELEASE: release,
    statements.EXPIRE: expire,
    statements.EXPIRED: expired,
    statements.CANCEL: cancel,
    statements.FIND: find,
    statements.SHORT: short,
}
