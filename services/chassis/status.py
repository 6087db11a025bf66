"""What a caller is told when a call fails: every exception becomes one `google.rpc.Status` with one ErrorInfo."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import grpc
import nats.errors
import psycopg
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from services.chassis import refusals
from services.chassis.errors import DomainError
from services.chassis.neighbour_errors import NeighbourCallError

DOMAIN = "meshmart.dev"
DETAILS_KEY = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A failed call as the caller is told of it."""

    code: grpc.StatusCode
    reason: str
    message: str
    trailers: tuple[tuple[str, bytes], ...]
    reference: str = ""
    """What joins the answer to the log line of a bug; empty for any other failure."""


def refusal_of(error: BaseException) -> Refusal:
    """Return what the caller is told of an exception that ended their call."""
    known = domain_error_of(error)
    code = grpc.StatusCode[known.kind.value]
    status = status_pb2.Status(code=code.value[0], message=known.message, details=_details(known))
    return Refusal(
        code=code,
        reason=known.reason,
        message=known.message,
        trailers=((DETAILS_KEY, status.SerializeToString()),),
        reference=known.metadata.get("reference", "") if isinstance(known, refusals.Internal) else "",
    )


def domain_error_of(error: BaseException) -> DomainError:
    """Return the refusal that an exception stands for: itself, a lost dependency, or a bug."""
    if isinstance(error, DomainError):
        return error
    for kind, translate in _TRANSLATIONS:
        if isinstance(error, kind):
            return translate(error)
    return _bug(error)


def _details(error: DomainError) -> list[Any]:
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)]
    if error.fields:
        details.append(_bad_request(error))
    if error.retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromTimedelta(timedelta(seconds=error.retry_after))
        details.append(retry)
    return [_packed(detail) for detail in details]


def _bad_request(error: DomainError) -> error_details_pb2.BadRequest:
    violation = error_details_pb2.BadRequest.FieldViolation
    return error_details_pb2.BadRequest(
        field_violations=[violation(field=field, description=text) for field, text in error.fields.items()]
    )


def _packed(detail: Message) -> Any:
    packed = Any()
    packed.Pack(detail)
    return packed


def _bug(_: BaseException) -> DomainError:
    return refusals.Internal("internal error", metadata={"reference": secrets.token_hex(8)})


def _deadline(_: BaseException) -> DomainError:
    return refusals.DeadlineExceeded("the call's deadline has passed")


def _database(_: BaseException) -> DomainError:
    return refusals.DatabaseUnavailable("the database does not answer")


def _broker(_: BaseException) -> DomainError:
    return refusals.BrokerUnavailable("the broker does not answer")


def _data(error: BaseException) -> DomainError:
    # A NUL is the caller's mistake: strings on the wire may hold it, texts in PostgreSQL may not. All else is ours.
    if isinstance(error, psycopg.errors.UntranslatableCharacter) or "NUL" in str(error):
        return refusals.RequestInvalid("text must not contain the character NUL")
    return _bug(error)


def _unimplemented(_: BaseException) -> DomainError:
    return refusals.MethodUnimplemented("the method is not implemented")


_NEIGHBOUR_DOWN = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DATA_LOSS,
    }
)


def _neighbour(error: BaseException) -> DomainError:
    """Tell a neighbour in trouble from one whose refusal nobody here expected, which is a bug of ours."""
    code = error.code() if isinstance(error, grpc.aio.AioRpcError) else grpc.StatusCode.UNKNOWN
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return _deadline(error)
    if code is grpc.StatusCode.UNAUTHENTICATED:
        return refusals.TokenExpired("the access token expired while the call was served")
    if code not in _NEIGHBOUR_DOWN:
        return _bug(error)
    name = error.neighbour if isinstance(error, NeighbourCallError) else "unknown"
    return refusals.NeighbourUnavailable(f"{name} does not answer", metadata={"neighbour": name})


_TRANSLATIONS: tuple[tuple[type[BaseException], Callable[[BaseException], DomainError]], ...] = (
    (grpc.aio.AioRpcError, _neighbour),
    # Before TimeoutError: the broker's timeout is one too.
    (nats.errors.Error, _broker),
    (psycopg.OperationalError, _database),
    (psycopg.DataError, _data),
    (TimeoutError, _deadline),
    # What generated servicers raise for methods that nobody wrote.
    (NotImplementedError, _unimplemented),
)
