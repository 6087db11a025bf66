"""Runs the targets over a request, as protoc plugins do."""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest, CodeGeneratorResponse
from google.protobuf.descriptor_pb2 import Edition

from scripts.protoc_gen_mesh import targets
from scripts.protoc_gen_mesh.model import Contract
from scripts.protoc_gen_mesh.parse import parse
from scripts.protoc_gen_mesh.strict import violations

_MORE = 0x80  # In a varint, the bit that says that another byte follows.

Files = dict[str, str | bytes]
Target = Callable[[Contract], Files]


@dataclass(frozen=True, slots=True)
class Parameters:
    """What `--mesh_opt` may say."""

    strict: bool = False
    services: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()


class ParameterError(Exception):
    """A parameter that the compiler does not have."""


def read_parameters(text: str) -> Parameters:
    """Return the parameters written as `strict,services=a+b,targets=c`."""
    given = dict(part.partition("=")[::2] for part in text.split(",") if part)
    unknown = given.keys() - {"strict", "services", "targets"}
    if unknown or given.get("strict", "") not in {"", "true", "false"}:
        raise ParameterError(f"unknown parameter in {text!r}; known: strict, services=a+b, targets=a+b")
    return Parameters(
        strict="strict" in given and given["strict"] != "false",
        services=tuple(name for name in given.get("services", "").split("+") if name),
        targets=tuple(name for name in given.get("targets", "").split("+") if name),
    )


def all_targets() -> Mapping[str, Target]:
    """Return every target by its module's name."""
    names = sorted(module.name for module in pkgutil.iter_modules(targets.__path__))
    return {name: importlib.import_module(f"{targets.__name__}.{name}").generate for name in names}


def compile_contract(request: CodeGeneratorRequest) -> Files:
    """Return the files that a request asks for. Raises ParameterError, or ContractError in strict mode."""
    parameters = read_parameters(request.parameter)
    contract = parse(request, parameters.services)
    if parameters.strict and (found := violations(contract)):
        raise ContractError("\n".join(found))
    return {name: content for target in _chosen(parameters) for name, content in target(contract).items()}


class ContractError(Exception):
    """What strict mode found wrong, one line each."""


def run(request: bytes) -> bytes:
    """Answer a serialized CodeGeneratorRequest with a serialized CodeGeneratorResponse."""
    response = CodeGeneratorResponse(
        supported_features=CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL
        | CodeGeneratorResponse.FEATURE_SUPPORTS_EDITIONS,
        minimum_edition=Edition.EDITION_PROTO2,
        maximum_edition=Edition.EDITION_2023,
    )
    try:
        files = compile_contract(CodeGeneratorRequest.FromString(request))
    except (ParameterError, ContractError) as error:
        response.error = str(error)
        return response.SerializeToString()
    return response.SerializeToString() + b"".join(_file(name, content) for name, content in files.items())


def _chosen(parameters: Parameters) -> list[Target]:
    known = all_targets()
    if unknown := [name for name in parameters.targets if name not in known]:
        raise ParameterError(f"unknown target {', '.join(unknown)}; known: {', '.join(known)}")
    return [known[name] for name in parameters.targets or known]


def _file(name: str, content: str | bytes) -> bytes:
    # Python refuses bytes in the field `content`, a string; protoc and buf take them. So they are written as
    # they stand on the wire: field 15 of the response, with field 1 (name) and field 15 (content) in it.
    data = content.encode() if isinstance(content, str) else content
    inner = b"\x0a" + _sized(name.encode()) + b"\x7a" + _sized(data)
    return b"\x7a" + _sized(inner)


def _sized(data: bytes) -> bytes:
    size, prefix = len(data), bytearray()
    while size >= _MORE:
        prefix.append(size & (_MORE - 1) | _MORE)
        size >>= 7
    prefix.append(size)
    return bytes(prefix) + data
