"""From servicers to what a gRPC server runs: raw bytes in, raw bytes out, everything between is ours.

grpc.aio's interceptors would cost each call 13 to 21 % on either side, so methods are wrapped when they are added.
"""

from collections.abc import Mapping

import grpc

from services.chassis.entry import entry
from services.chassis.exchange import Context, Guards
from services.chassis.methods import Method, methods_of
from services.chassis.pipeline_stream import streaming
from services.chassis.pipeline_unary import unary
from services.chassis.refusals import MethodUnimplemented
from services.chassis.service import Servicer
from services.chassis.status import refusal_of

_HANDLERS = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}
"""By whether requests and whether responses are streamed."""


async def handlers_of(servicer: Servicer, guards: Guards) -> dict[str, grpc.RpcMethodHandler]:
    """Return a servicer's methods by their paths, each behind the guards."""
    return {method.contract.full_name: await _handler(method, guards) for method in methods_of(servicer)}


async def _handler(method: Method, guards: Guards) -> grpc.RpcMethodHandler:
    contract = method.contract
    kind = (contract.client_streaming, contract.server_streaming)
    serve = streaming if any(kind) else unary
    return _HANDLERS[kind](await entry(contract, guards, serve(method, guards)))


class Routes(grpc.GenericRpcHandler):
    """All methods of the process in one dictionary, and an answer with a reason for what is not in it.

    It must be added to the server last, for it answers everything.
    """

    def __init__(self, handlers: Mapping[str, grpc.RpcMethodHandler]) -> None:
        """Route to handlers by path."""
        self._find = handlers.get
        self._unknown: grpc.RpcMethodHandler = grpc.unary_unary_rpc_method_handler(_unimplemented)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """Return what serves a call."""
        return self._find(handler_call_details.method, self._unknown)


async def _unimplemented(_: bytes, context: Context) -> None:
    refusal = refusal_of(MethodUnimplemented("no such method is served here"))
    await context.abort(refusal.code, refusal.message, refusal.trailers)
