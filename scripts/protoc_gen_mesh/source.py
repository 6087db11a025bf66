"""Where things are written, and the comments above them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FileDescriptorProto

# Field numbers of descriptor.proto, of which SourceCodeInfo paths are made.
_MESSAGE, _ENUM, _SERVICE = 4, 5, 6
_METHOD = _FIELD = _VALUE = 2
_NESTED, _NESTED_ENUM = 3, 4

Path = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """A place in a proto file and the comment written above it."""

    file: str
    line: int
    comment: str

    def __str__(self) -> str:
        """Return `file:line`, as editors understand it."""
        return f"{self.file}:{self.line}"


def sources_of(file: FileDescriptorProto) -> Mapping[str, Source]:
    """Return where each service, method, message, field, enum and value of a file is written, by full name."""
    found = {tuple(place.path): place for place in file.source_code_info.location}
    sources = {}
    for name, path in _named(file):
        place = found.get(path)
        line = place.span[0] + 1 if place else 0
        sources[name] = Source(file.name, line, _text(place.leading_comments if place else ""))
    return sources


def _text(comment: str) -> str:
    return "\n".join(line.removeprefix(" ").rstrip() for line in comment.strip("\n").split("\n")).strip()


def _named(file: FileDescriptorProto) -> Iterator[tuple[str, Path]]:
    prefix = f"{file.package}." if file.package else ""
    for number, message in enumerate(file.message_type):
        yield from _named_in_message(message, prefix + message.name, (_MESSAGE, number))
    for number, enum in enumerate(file.enum_type):
        yield from _named_in_enum(enum, prefix + enum.name, (_ENUM, number))
    for number, service in enumerate(file.service):
        name = prefix + service.name
        yield name, (_SERVICE, number)
        for index, method in enumerate(service.method):
            yield f"{name}.{method.name}", (_SERVICE, number, _METHOD, index)


def _named_in_message(message: DescriptorProto, name: str, path: Path) -> Iterator[tuple[str, Path]]:
    yield name, path
    for number, field in enumerate(message.field):
        yield f"{name}.{field.name}", (*path, _FIELD, number)
    for number, nested in enumerate(message.nested_type):
        yield from _named_in_message(nested, f"{name}.{nested.name}", (*path, _NESTED, number))
    for number, enum in enumerate(message.enum_type):
        yield from _named_in_enum(enum, f"{name}.{enum.name}", (*path, _NESTED_ENUM, number))


def _named_in_enum(enum: EnumDescriptorProto, name: str, path: Path) -> Iterator[tuple[str, Path]]:
    yield name, path
    for number, value in enumerate(enum.value):
        yield f"{name}.{value.name}", (*path, _VALUE, number)
