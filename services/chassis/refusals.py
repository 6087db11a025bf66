"""Why the chassis itself refuses a call, or ends one. Each has one kind and one reason, like a domain's errors."""

from services.chassis.errors import DomainError, Kind


class MessageMalformed(DomainError):
    """The request's bytes are not the message that the contract names."""

    kind = Kind.INVALID_ARGUMENT
    reason = "MESSAGE_MALFORMED"


class MessageTooLarge(DomainError):
    """The request has more bytes than a service reads."""

    kind = Kind.RESOURCE_EXHAUSTED
    reason = "MESSAGE_TOO_LARGE"


class RequestInvalid(DomainError):
    """The request breaks a rule of the contract; `fields` says which."""

    kind = Kind.INVALID_ARGUMENT
    reason = "REQUEST_INVALID"


class RequestIdReused(DomainError):
    """The request id was used before, for another request."""

    kind = Kind.ABORTED
    reason = "REQUEST_ID_REUSED"


class DeadlineExceeded(DomainError):
    """The call's budget is spent."""

    kind = Kind.DEADLINE_EXCEEDED
    reason = "DEADLINE_EXCEEDED"


class TokenMissing(DomainError):
    """The method needs a signed-in caller, and no token came."""

    kind = Kind.UNAUTHENTICATED
    reason = "TOKEN_MISSING"


class TokenInvalid(DomainError):
    """The token is not one of ours."""

    kind = Kind.UNAUTHENTICATED
    reason = "TOKEN_INVALID"


class TokenExpired(DomainError):
    """The token was ours, and is too old."""

    kind = Kind.UNAUTHENTICATED
    reason = "TOKEN_EXPIRED"


class SessionRevoked(DomainError):
    """The token's session was signed out."""

    kind = Kind.UNAUTHENTICATED
    reason = "SESSION_REVOKED"


class StaffRequired(DomainError):
    """The method is for staff. The edge stops such a call, so this is PERMISSION_DENIED."""

    kind = Kind.PERMISSION_DENIED
    reason = "STAFF_REQUIRED"


class Overloaded(DomainError):
    """The service has as many calls as it takes, in flight and in its queue."""

    kind = Kind.RESOURCE_EXHAUSTED
    reason = "OVERLOADED"


class Draining(DomainError):
    """The process is going away; another one serves the call."""

    kind = Kind.UNAVAILABLE
    reason = "DRAINING"


class StreamMaxAge(DomainError):
    """The stream lived as long as the contract allows; resume it."""

    kind = Kind.UNAVAILABLE
    reason = "STREAM_MAX_AGE"


class StreamIdle(DomainError):
    """The stream was silent for longer than the contract allows; resume it."""

    kind = Kind.UNAVAILABLE
    reason = "STREAM_IDLE"


class DatabaseUnavailable(DomainError):
    """The service's database does not answer."""

    kind = Kind.UNAVAILABLE
    reason = "DATABASE_UNAVAILABLE"


class BrokerUnavailable(DomainError):
    """The broker does not answer."""

    kind = Kind.UNAVAILABLE
    reason = "BROKER_UNAVAILABLE"


class NeighbourUnavailable(DomainError):
    """A service that the call needs does not answer."""

    kind = Kind.UNAVAILABLE
    reason = "NEIGHBOUR_UNAVAILABLE"


class MethodUnimplemented(DomainError):
    """The method is not served here."""

    kind = Kind.UNIMPLEMENTED
    reason = "METHOD_UNIMPLEMENTED"


class Internal(DomainError):
    """A bug. The caller gets a reference to the log line and nothing else."""

    kind = Kind.INTERNAL
    reason = "INTERNAL"
