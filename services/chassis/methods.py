"""The methods of a servicer, collected from the generated function that would add them to a server."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import grpc
from google.protobuf.message import Message

from services.chassis.contract import MethodContract, method_contract
from services.chassis.service import Servicer


@dataclass(frozen=True, slots=True)
class Method:
    """One method of a servicer, with what every call of it needs."""

    contract: MethodContract
    parse: Callable[[bytes], Message]
    serialize: Callable[[Any], bytes]
    handler: Callable[[Any, Any], Any]


class _Collector:
    """Stands in for the server, because an interceptor would cost each call a sixth of it."""

    def __init__(self) -> None:
        self.handlers: dict[str, grpc.RpcMethodHandler] = {}

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, grpc.RpcMethodHandler]) -> None:
        self.handlers |= {f"/{service}/{name}": handler for name, handler in handlers.items()}

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """Ignore what the generated code adds for older servers."""


def collect(add_to_server: Callable[[Any, Any], None], servicer: object) -> dict[str, grpc.RpcMethodHandler]:
    """Return the methods of a servicer by their paths, as the generated code would add them."""
    collector = _Collector()
    add_to_server(servicer, collector)
    return collector.handlers


def methods_of(servicer: Servicer) -> list[Method]:
    """Return the methods of a servicer."""
    handlers = collect(servicer.add_to_server, servicer.servicer)
    return [_method(path, handler) for path, handler in handlers.items()]


def _method(path: str, handler: grpc.RpcMethodHandler) -> Method:
    behaviour = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    return Method(
        contract=method_contract(path),
        parse=cast("Callable[[bytes], Message]", handler.request_deserializer),
        serialize=cast("Callable[[Any], bytes]", handler.response_serializer),
        handler=cast("Callable[[Any, Any], Any]", behaviour),
    )
