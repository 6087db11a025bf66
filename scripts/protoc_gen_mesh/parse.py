"""Builds the model from what protoc hands over."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest
from google.protobuf.descriptor import Descriptor, FileDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.descriptor_pool import DescriptorPool

from scripts.protoc_gen_mesh.http import Binding, bindings_of
from scripts.protoc_gen_mesh.model import Access, Contract, Event, Level, Method, ProtoService
from scripts.protoc_gen_mesh.options import OptionReader
from scripts.protoc_gen_mesh.source import Source, sources_of

METHOD_OPTION = "meshmart.policy.v1.method"
EVENT_OPTION = "meshmart.policy.v1.event"
DEFAULT_TIMEOUT = 15.0
DEFAULT_IDLE_TIMEOUT = 60.0
DEFAULT_MAX_AGE = 900.0


def parse(request: CodeGeneratorRequest, services: Sequence[str] = ()) -> Contract:
    """Return the contract that a request holds; `services` are names that own no package in it."""
    pool = DescriptorPool()
    sources: dict[str, Source] = {}
    for file in request.proto_file:
        pool.Add(file)
        sources |= sources_of(file)
    reader = _Reader(OptionReader(pool), sources)
    own = [pool.FindFileByName(name) for name in request.file_to_generate]
    proto_services = tuple(reader.proto_service(service) for file in own for service in file.services_by_name.values())
    owners = {method.service for service in proto_services for method in service.methods}
    return Contract(
        proto_services=proto_services,
        events=tuple(event for file in own for event in reader.events(file)),
        services=tuple(sorted(owners.union(services))),
        sources=sources,
        files={file.name: file for file in request.proto_file},
        own_files=frozenset(request.file_to_generate),
        options=reader.options,
    )


def owner(file: FileDescriptor) -> str:
    """Return the service that owns a file's package: `order` for `meshmart.order.v1`."""
    parts = file.package.split(".") if file.package else [PurePosixPath(file.name).stem]
    versioned = len(parts) > 1 and re.fullmatch(r"v\d+\w*", parts[-1])
    return parts[-2] if versioned else parts[-1]


@dataclass(frozen=True, slots=True)
class _Reader:
    options: OptionReader
    sources: Mapping[str, Source]

    def proto_service(self, service: ServiceDescriptor) -> ProtoService:
        methods = tuple(self._method(method) for method in service.methods)
        return ProtoService(service.full_name, self.sources[service.full_name], methods)

    def events(self, file: FileDescriptor) -> Iterator[Event]:
        for message in file.message_types_by_name.values():
            policy = self.options.get(message.GetOptions(), EVENT_OPTION)
            if policy is not None:
                yield self._event(message, policy)

    def _event(self, message: Descriptor, policy: Any) -> Event:
        return Event(
            name=message.name,
            package=message.file.package,
            publisher=owner(message.file),
            consumers=tuple(policy.consumers),
            replayable=policy.replayable,
            source=self.sources[message.full_name],
        )

    def _method(self, method: MethodDescriptor) -> Method:
        options = method.GetOptions()
        policy = self.options.get(options, METHOD_OPTION)
        bindings = self._bindings(options)
        stated = _stated(policy)
        streams = method.client_streaming or method.server_streaming
        return Method(
            name=method.name,
            proto_service=method.containing_service.full_name,
            service=owner(method.containing_service.file),
            source=self.sources[method.full_name],
            access=_access(policy, stated, bindings),
            callers=tuple(policy.callers) if policy else (),
            timeout=None if streams else _seconds(policy, stated, "timeout", DEFAULT_TIMEOUT),
            idle_timeout=_seconds(policy, stated, "idle_timeout", DEFAULT_IDLE_TIMEOUT) if streams else None,
            max_age=_seconds(policy, stated, "max_age", DEFAULT_MAX_AGE) if streams else None,
            stated=stated,
            level=Level(options.idempotency_level),
            client_streaming=method.client_streaming,
            server_streaming=method.server_streaming,
            bindings=bindings,
            request=method.input_type,
            response=method.output_type,
        )

    def _bindings(self, options: MethodOptions) -> tuple[Binding, ...]:
        rule = self.options.get(options, "google.api.http")
        return tuple(bindings_of(rule)) if rule is not None else ()


def _stated(policy: Any | None) -> frozenset[str]:
    if policy is None:
        return frozenset()
    return frozenset({"policy", *(field.name for field, _ in policy.ListFields())})


def _access(policy: Any | None, stated: frozenset[str], bindings: tuple[Binding, ...]) -> Access:
    if policy is not None and "access" in stated:
        return Access(policy.access)
    # A policy that forgot its access must not open a method; protos without policies say it by their bindings.
    return Access.PUBLIC if bindings and policy is None else Access.INTERNAL


def _seconds(policy: Any | None, stated: frozenset[str], field: str, default: float) -> float:
    if policy is None or field not in stated:
        return default
    duration = getattr(policy, field)
    return float(duration.seconds + duration.nanos / 1e9)
