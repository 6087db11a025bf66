"""The descriptor set of the public API: what Envoy transcodes with and reflection lists."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from google.protobuf import any_pb2, descriptor_pb2, duration_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from scripts.protoc_gen_mesh.model import Contract
from scripts.protoc_gen_mesh.parse import METHOD_OPTION

_POLICY = "meshmart/policy/v1/policy.proto"

Files = Mapping[str, FileDescriptorProto]


def public_set(contract: Contract) -> bytes:
    """Return a serialized FileDescriptorSet with the public methods and the messages they reach.

    Envoy decodes the details of an error only with `google/rpc/error_details.proto` at hand. It is taken from the
    request or, when no proto imports it, from an installed googleapis-common-protos; without either it is left out.
    """
    public = {name: _public_file(file, contract) for name, file in contract.files.items()}
    files = {**_error_files(), **public}
    kept: dict[str, FileDescriptorProto] = {}
    for name in [
        *(name for name, file in public.items() if file.service and name in contract.own_files),
        *_error_files(),
    ]:
        _keep(name, files, kept)
    return FileDescriptorSet(file=kept.values()).SerializeToString(deterministic=True)


def _keep(name: str, files: Files, kept: dict[str, FileDescriptorProto]) -> None:
    for dependency in files[name].dependency:
        _keep(dependency, files, kept)
    kept.setdefault(name, files[name])


def _public_file(file: FileDescriptorProto, contract: Contract) -> FileDescriptorProto:
    public = FileDescriptorProto()
    public.CopyFrom(file)
    public.ClearField("source_code_info")
    if file.name in contract.own_files:
        _keep_reachable(public, contract)
        _hide_policy(public, contract)
    return public


def _keep_reachable(file: FileDescriptorProto, contract: Contract) -> None:
    prefix = f"{file.package}." if file.package else ""
    methods = {method.full_name for method in contract.public_methods}
    reachable = _reachable(contract)
    for service in file.service:
        _filter(service.method, lambda method: f"{prefix}{service.name}.{method.name}" in methods)  # noqa: B023  # called at once
    _filter(file.service, lambda service: bool(service.method))
    _filter(file.message_type, lambda message: prefix + message.name in reachable)
    _filter(file.enum_type, lambda enum: prefix + enum.name in reachable)


def _filter(items: Any, keep: Callable[[Any], bool]) -> None:
    kept = [item for item in items if keep(item)]
    del items[:]
    items.extend(kept)


def _hide_policy(file: FileDescriptorProto, contract: Contract) -> None:
    """Remove who may call a method inside the mesh, and the import that says so."""
    for service in file.service:
        for method in service.method:
            method.options.ParseFromString(contract.options.without(method.options, METHOD_OPTION))
    public = [file.dependency[index] for index in file.public_dependency]
    _filter(file.dependency, lambda name: name != _POLICY)
    file.ClearField("weak_dependency")
    file.ClearField("public_dependency")
    names = list(file.dependency)
    file.public_dependency.extend(names.index(name) for name in public if name in names)


def _reachable(contract: Contract) -> set[str]:
    """Return the top-level messages and enums that public methods reach, and those that extensions are made of."""
    found: set[str] = set()
    open_ends: list[Descriptor | EnumDescriptor] = [
        message for method in contract.public_methods for message in (method.request, method.response)
    ]
    for name in contract.own_files - {_POLICY}:
        extensions = contract.options.pool.FindFileByName(name).extensions_by_name
        open_ends += _types(extensions.values())
    while open_ends:
        top = _top(open_ends.pop())
        if top.full_name not in found:
            found.add(top.full_name)
            open_ends += _neighbours(top) if isinstance(top, Descriptor) else []
    return found


def _top(item: Descriptor | EnumDescriptor) -> Descriptor | EnumDescriptor:
    return _top(item.containing_type) if item.containing_type else item


def _neighbours(message: Descriptor) -> Iterator[Descriptor | EnumDescriptor]:
    yield from _types([*message.fields, *message.extensions])
    for nested in message.nested_types:
        yield from _neighbours(nested)


def _types(fields: Iterable[FieldDescriptor]) -> Iterator[Descriptor | EnumDescriptor]:
    for field in fields:
        yield from (kind for kind in (field.message_type, field.enum_type, field.containing_type) if kind)


def _error_files() -> dict[str, FileDescriptorProto]:
    try:
        from google.rpc import error_details_pb2, status_pb2  # noqa: PLC0415  # optional: protobuf alone is required
    except ImportError:
        return {}
    modules = (any_pb2, duration_pb2, status_pb2, error_details_pb2)
    return {module.DESCRIPTOR.name: _proto(module.DESCRIPTOR) for module in modules}


def _proto(file: FileDescriptor) -> FileDescriptorProto:
    proto = descriptor_pb2.FileDescriptorProto()
    file.CopyToProto(proto)
    return proto
