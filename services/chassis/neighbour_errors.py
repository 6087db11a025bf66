"""What a neighbour answered when it refused, for callers that branch on it."""

from dataclasses import dataclass, field

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2


class NeighbourCallError(grpc.aio.AioRpcError):
    """A call to a neighbour that failed, and which neighbour that was."""

    def __init__(self, neighbour: str, error: grpc.aio.AioRpcError) -> None:
        """Copy the failure and add the name."""
        super().__init__(
            error.code(),
            error.initial_metadata(),
            error.trailing_metadata(),
            details=error.details(),
            debug_error_string=error.debug_error_string(),
        )
        self.neighbour = neighbour


@dataclass(frozen=True, slots=True)
class NeighbourRefusal:
    """The ErrorInfo in a neighbour's answer."""

    code: grpc.StatusCode
    reason: str
    message: str
    metadata: dict[str, str] = field(default_factory=dict)


def neighbour_error(error: BaseException) -> NeighbourRefusal | None:
    """Return what a neighbour refused with; None when no answer of a service is in it, as when it is down."""
    if not isinstance(error, grpc.aio.AioRpcError):
        return None
    details = next((v for k, v in error.trailing_metadata() or () if k == "grpc-status-details-bin"), None)
    info = _error_info(details) if isinstance(details, bytes) else None
    if info is None:
        return None
    return NeighbourRefusal(error.code(), info.reason, error.details() or "", dict(info.metadata))


def _error_info(details: bytes) -> error_details_pb2.ErrorInfo | None:
    try:
        status = status_pb2.Status.FromString(details)
    except DecodeError:
        return None
    info = error_details_pb2.ErrorInfo()
    return info if any(detail.Unpack(info) for detail in status.details) else None
