"""The two fronts of the edge as a test sees them: a call's outcome in the same words for both."""

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp
import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status


@dataclass(frozen=True)
class Refusal:
    """What a client learns from a refusal."""

    code: int
    """Number of the gRPC status."""
    reason: str


@dataclass(frozen=True)
class Answer:
    """A REST answer."""

    status: int
    headers: dict[str, str]
    text: str
    body: Any

    @property
    def refusal(self) -> Refusal:
        """The refusal that the JSON status tells."""
        (reason,) = [detail["reason"] for detail in self.body["details"] if "reason" in detail]
        return Refusal(self.body["code"], reason)


class Fronts:
    """A REST and a gRPC client of one edge."""

    def __init__(self, port: int) -> None:
        """Say where the edge listens."""
        self._session = aiohttp.ClientSession(f"http://127.0.0.1:{port}")
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")

    async def __aenter__(self) -> Self:
        """Open nothing yet: both connect at their first call."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close both."""
        await self._session.close()
        await self.channel.close()

    async def rest(self, verb: str, path: str, token: str = "", **options: Any) -> Answer:
        """Return the answer to one request."""
        headers = {**bearer(token), **options.pop("headers", {})}
        async with self._session.request(verb, path, headers=headers, **options) as response:
            text = await response.text(errors="replace")
            body = await response.json() if response.content_type == "application/json" and text else None
            return Answer(
                response.status, {name.lower(): value for name, value in response.headers.items()}, text, body
            )


def bearer(token: str) -> dict[str, str]:
    """Return the header of a token; none without one."""
    return {"authorization": f"Bearer {token}"} if token else {}


def metadata(token: str) -> list[tuple[str, str]]:
    """Return the metadata of a token; none without one."""
    return list(bearer(token).items())


def refusal_of(error: grpc.aio.AioRpcError) -> Refusal:
    """Return what a gRPC client learns from an error."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # an AioRpcError has what it reads of a Call
    assert status is not None, f"{error.code()} without details: {error.details()}"
    info = error_details_pb2.ErrorInfo()
    (reason,) = [info.reason for detail in status.details if detail.Unpack(info)]
    return Refusal(error.code().value[0], reason)
