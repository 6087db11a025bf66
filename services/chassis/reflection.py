"""Reflection v1 and v1alpha, so that grpcurl and ghz need no proto files.

No Python package has v1; its messages are those of v1alpha on the wire. The stock v1alpha servicer does not find
methods by name, which ghz asks for.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final

import grpc
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import Default, DescriptorPool
from grpc_health.v1 import health_pb2 as _health  # noqa: F401  # its descriptors, which a listed name must have
from grpc_reflection.v1alpha import reflection_pb2 as messages

EDGE_HEADER: Final = "x-forwarded-proto"
"""What Envoy adds to every call that came through it."""
HEALTH: Final = "grpc.health.v1.Health"
V1: Final = "grpc.reflection.v1.ServerReflection"
V1ALPHA: Final = "grpc.reflection.v1alpha.ServerReflection"
_METHOD: Final = "ServerReflectionInfo"

_Request = messages.ServerReflectionRequest
_Response = messages.ServerReflectionResponse
_Context = grpc.aio.ServicerContext[Any, Any]


class View:
    """What reflection shows: the names it lists, and the pool where it looks symbols up."""

    def __init__(self, services: Iterable[str], pool: DescriptorPool) -> None:
        """List services; find in the pool."""
        self._services, self._pool = sorted(services), pool
        self._answers: Mapping[str, Callable[[_Request], _Response]] = {
            "list_services": self._list,
            "file_by_filename": lambda asked: self._files(pool.FindFileByName(asked.file_by_filename)),
            "file_containing_symbol": lambda asked: self._files(self._file_of(asked.file_containing_symbol)),
            "file_containing_extension": self._extension,
            "all_extension_numbers_of_type": self._extension_numbers,
        }

    def answer(self, request: _Request) -> _Response:
        """Return the answer to one question."""
        answer = self._answers.get(request.WhichOneof("message_request") or "", _unknown_question)
        try:
            response = answer(request)
        except KeyError as missing:
            response = _error(grpc.StatusCode.NOT_FOUND, str(missing.args[0]))
        response.valid_host = request.host
        response.original_request.CopyFrom(request)
        return response

    def _list(self, _: _Request) -> _Response:
        services = [messages.ServiceResponse(name=name) for name in self._services]
        return _Response(list_services_response=messages.ListServiceResponse(service=services))

    def _files(self, file: FileDescriptor) -> _Response:
        """Return a file and all it imports, so that the client need not ask again."""
        protos = [proto.SerializeToString() for proto in _with_imports(file, set())]
        return _Response(file_descriptor_response=messages.FileDescriptorResponse(file_descriptor_proto=protos))

    def _file_of(self, symbol: str) -> FileDescriptor:
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            service, _, method = symbol.rpartition(".")
            if method not in self._pool.FindServiceByName(service).methods_by_name:
                raise
            return self._pool.FindFileContainingSymbol(service)

    def _extension(self, request: _Request) -> _Response:
        asked = request.file_containing_extension
        message = self._pool.FindMessageTypeByName(asked.containing_type)
        return self._files(self._pool.FindExtensionByNumber(message, asked.extension_number).file)  # type: ignore[attr-defined]  # the stubs lack it

    def _extension_numbers(self, request: _Request) -> _Response:
        message = self._pool.FindMessageTypeByName(request.all_extension_numbers_of_type)
        numbers = sorted(extension.number for extension in self._pool.FindAllExtensions(message))
        return _Response(
            all_extension_numbers_response=messages.ExtensionNumberResponse(
                base_type_name=message.full_name, extension_number=numbers
            )
        )


def own_view(services: Iterable[str]) -> View:
    """Return the view of what a process serves itself, health and reflection included."""
    _learn_v1()
    return View([*services, HEALTH, V1, V1ALPHA], Default())


def public_view(descriptors: FileDescriptorSet) -> View:
    """Return the view of an API by its descriptors. Health and reflection are found there, but not listed."""
    pool = DescriptorPool()
    _learn_v1()
    platform = [Default().FindFileContainingSymbol(name) for name in (HEALTH, V1, V1ALPHA)]
    for proto in [*_ordered(descriptors), *(proto for file in platform for proto in _with_imports(file, set()))]:
        _add(pool, proto)
    services = [
        f"{file.package}.{service.name}" for file in descriptors.file for service in file.service if service.method
    ]
    return View(services, pool)


class Reflection:
    """Answers reflection; what came through the edge sees the public API, if this process is to show it."""

    def __init__(self, services: Sequence[str], public: FileDescriptorSet | None = None) -> None:
        """Show the services of this process, and another API to callers from outside, or if there are none."""
        own = own_view(services)
        self._public = public_view(public) if public else own
        self._own = own if services else self._public

    async def info(self, requests: AsyncIterator[_Request], context: _Context) -> AsyncIterator[_Response]:
        """Answer question after question."""
        headers = dict(context.invocation_metadata() or ())
        view = self._public if EDGE_HEADER in headers else self._own
        async for request in requests:
            yield view.answer(request)

    def handlers(self) -> dict[str, grpc.RpcMethodHandler]:
        """Return the methods by path, of both versions; no policy, deadline or token applies to them."""
        handler = grpc.stream_stream_rpc_method_handler(self.info, _Request.FromString, _Response.SerializeToString)
        return {f"/{service}/{_METHOD}": handler for service in (V1, V1ALPHA)}


def _unknown_question(_: _Request) -> _Response:
    return _error(grpc.StatusCode.INVALID_ARGUMENT, "the request asks nothing that is known")


def _error(code: grpc.StatusCode, message: str) -> _Response:
    return _Response(error_response=messages.ErrorResponse(error_code=code.value[0], error_message=message))


def _with_imports(file: FileDescriptor, seen: set[str]) -> Iterator[FileDescriptorProto]:
    if file.name not in seen:
        seen.add(file.name)
        for imported in file.dependencies:
            yield from _with_imports(imported, seen)
        proto = FileDescriptorProto()
        file.CopyToProto(proto)
        yield proto


def _ordered(descriptors: FileDescriptorSet) -> Iterator[FileDescriptorProto]:
    """Return the files, each after those it imports; what the set leaves out comes from the default pool."""
    files = {file.name: file for file in descriptors.file}
    seen: set[str] = set()

    def visit(name: str) -> Iterator[FileDescriptorProto]:
        if name in seen:
            return
        if name not in files:
            yield from _with_imports(Default().FindFileByName(name), seen)
            return
        seen.add(name)
        for imported in files[name].dependency:
            yield from visit(imported)
        yield files[name]

    for name in files:
        yield from visit(name)


def _add(pool: DescriptorPool, proto: FileDescriptorProto) -> None:
    pool.AddSerializedFile(proto.SerializeToString())


@cache
def _learn_v1() -> None:
    """Add the descriptors of v1 to the default pool: those of v1alpha under the other name."""
    proto = FileDescriptorProto()
    messages.DESCRIPTOR.CopyToProto(proto)
    _rename(proto)
    _add(Default(), proto)


def _rename(proto: FileDescriptorProto) -> None:
    alpha, stable = "grpc.reflection.v1alpha", "grpc.reflection.v1"
    proto.name, proto.package = proto.name.replace("v1alpha", "v1"), stable
    for message in proto.message_type:
        for field in (field for field in message.field if field.type_name):
            field.type_name = field.type_name.replace(alpha, stable)
    for method in (method for service in proto.service for method in service.method):
        method.input_type = method.input_type.replace(alpha, stable)
        method.output_type = method.output_type.replace(alpha, stable)
