"""The call being served: who asks, until when, under which trace. Set by the server, read by whoever calls on."""

import time
from contextvars import ContextVar
from dataclasses import dataclass, field

from services.chassis.contract import MethodContract


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks, as their verified token says."""

    subject: str
    """Customer's id."""
    session_id: str
    role: str
    """`customer` or `staff`."""
    token: str = field(repr=False)
    """The bearer token, to be forwarded."""

    @property
    def staff(self) -> bool:
        """Whether they may use STAFF methods."""
        return self.role == "staff"


@dataclass(slots=True)
class Call:
    """One call being served."""

    method: MethodContract
    principal: Principal | None
    deadline: float
    """When the call's budget is spent, by `time.monotonic()`."""
    traceparent: str
    """W3C trace context to hand on."""
    sampled: bool
    request_id: str = ""
    request_hash: bytes = b""

    def remaining(self) -> float:
        """Return the seconds left of the budget; negative once it is spent."""
        return self.deadline - time.monotonic()


_current: ContextVar[Call | None] = ContextVar("meshmart_call", default=None)


def current_call() -> Call | None:
    """Return the call being served; None in a saga, a consumer or a background task."""
    return _current.get()


def current_principal() -> Principal:
    """Return who asks. Only for CUSTOMER and STAFF methods, where the chassis has made sure that there is one."""
    call = _current.get()
    if call is None or call.principal is None:
        raise LookupError("no principal: the method's access is neither CUSTOMER nor STAFF")
    return call.principal
