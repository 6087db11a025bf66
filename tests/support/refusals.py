"""What a refused call tells its caller."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status


@dataclass
class Refused:
    """The status of a refused call, filled in once it was refused."""

    code: str = ""
    reason: str = ""
    message: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)


@contextmanager
def refused(code: str, reason: str) -> Iterator[Refused]:
    """Expect a call to be refused with a code and exactly one ErrorInfo of a reason."""
    told = Refused()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        yield told
    read = refusal(caught.value)
    assert (read.code, read.reason) == (code, reason), read
    told.__dict__.update(read.__dict__)


def refusal(error: grpc.aio.AioRpcError) -> Refused:
    """Return what an error says."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # its stubs do not know grpc.aio
    assert status is not None, error
    infos = [detail for detail in status.details if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR)]
    assert len(infos) == 1, status
    info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    infos[0].Unpack(info)
    for detail in status.details:
        detail.Unpack(request)
    fields = {violation.field: violation.description for violation in request.field_violations}
    return Refused(error.code().name, info.reason, status.message, dict(info.metadata), fields)
