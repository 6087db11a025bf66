"""Errors a domain may raise. They know nothing of gRPC; `status` turns them into `google.rpc.Status`.

A domain subclasses `DomainError` once per reason:

    class OrderNotFound(DomainError):
        kind = Kind.NOT_FOUND
        reason = "ORDER_NOT_FOUND"
"""

from collections.abc import Mapping
from enum import Enum
from typing import ClassVar


class Kind(Enum):
    """What sort of refusal an error is; the names are those of the gRPC status codes.

    PERMISSION_DENIED is only for a call that the edge would have stopped: the mesh counts it as a failure of the
    server. Someone else's resource is NOT_FOUND.
    """

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    ABORTED = "ABORTED"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    UNAVAILABLE = "UNAVAILABLE"
    UNIMPLEMENTED = "UNIMPLEMENTED"
    INTERNAL = "INTERNAL"


class DomainError(Exception):
    """A refusal with a kind, a reason (UPPER_SNAKE_CASE, stable) and a sentence for a developer.

    `metadata` goes into ErrorInfo and holds ids only; `fields` maps a field's path in the request to what is wrong
    with it and becomes BadRequest; `retry_after` (seconds) becomes RetryInfo.
    """

    kind: ClassVar[Kind]
    reason: ClassVar[str]

    def __init__(
        self,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Keep the sentence and the details."""
        super().__init__(message)
        self.message = message
        self.metadata = dict(metadata or {})
        self.fields = dict(fields or {})
        self.retry_after = retry_after
