"""OpenAPI 3.1 of what the edge offers over REST."""

import re
from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from scripts.protoc_gen_mesh.http import Binding
from scripts.protoc_gen_mesh.model import Access, Contract, Method
from scripts.protoc_gen_mesh.schema import Schema, Schemas
from scripts.protoc_gen_mesh.text import to_yaml

_STATUS, _RAW = "google.rpc.Status", "google.api.HttpBody"
_STATUS_SCHEMA = {
    "type": "object",
    "description": "An error: exactly one ErrorInfo in `details` says why, BadRequest names fields, RetryInfo when to try again.",
    "properties": {
        "code": {"type": "integer", "format": "int32", "description": "gRPC status code."},
        "message": {"type": "string", "description": "A sentence for a developer."},
        "details": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "@type": {
                        "type": "string",
                        "description": "`type.googleapis.com/google.rpc.ErrorInfo`, for example.",
                    }
                },
                "required": ["@type"],
            },
        },
    },
}
_SCHEMES = {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}


def generate(contract: Contract) -> dict[str, str | bytes]:
    """Return `openapi.yaml`."""
    schemas = Schemas(contract)
    paths: dict[str, Schema] = {}
    names: dict[str, list[str]] = {}
    for method in contract.public_methods:
        for number, binding in enumerate(method.bindings):
            # OpenAPI takes `/teas/{teaId}` and `/teas/{tea.id}` for the same path: the first one names its variables.
            own = [_json_name(method.request, variable) for variable in binding.variables]
            shared = names.setdefault(binding.regex, own)
            operation = _Operation(method, binding, schemas, shared).schema(number)
            paths.setdefault(_path(binding, shared), {})[binding.verb.lower()] = operation
    document = {
        "openapi": "3.1.0",
        "info": {"title": contract.root or "API", "version": "1"},
        "servers": [{"url": "/"}],
        "tags": _tags(contract),
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": schemas.components() | {_STATUS: _STATUS_SCHEMA},
            "securitySchemes": _SCHEMES,
        },
    }
    return {"openapi.yaml": to_yaml(document)}


def _tags(contract: Contract) -> list[Schema]:
    bound = {method.proto_service for method in contract.public_methods if method.bindings}
    return [
        {"name": service.name} | ({"description": service.source.comment} if service.source.comment else {})
        for service in contract.proto_services
        if service.full_name in bound
    ]


def _path(binding: Binding, names: list[str]) -> str:
    """Return the path as OpenAPI writes it: variables by the names given, without patterns."""
    rest = iter(names)
    return re.sub(r"\{[^}]+\}", lambda _: f"{{{next(rest)}}}", binding.path)


def _json_name(message: Descriptor, path: str) -> str:
    return ".".join(field.camelcase_name for field in _along(message, path))


def _along(message: Descriptor, path: str) -> Iterator[FieldDescriptor]:
    first, _, rest = path.partition(".")
    field = message.fields_by_name[first]
    yield field
    if rest and field.message_type:
        yield from _along(field.message_type, rest)


def _first_sentence(comment: str) -> tuple[str, str]:
    first, *rest = re.split(r"(?<=\.)\s+", comment, maxsplit=1)
    return " ".join(first.split()), "".join(rest)


class _Operation:
    """One verb on one path."""

    def __init__(self, method: Method, binding: Binding, schemas: Schemas, variables: list[str]) -> None:
        self._method, self._binding, self._schemas, self._variables = method, binding, schemas, variables

    def schema(self, number: int) -> Schema:
        summary, description = _first_sentence(self._method.source.comment)
        name = f"{self._method.proto_service.rpartition('.')[2]}_{self._method.name}"
        operation = {
            "operationId": name if number == 0 else f"{name}_{number + 1}",
            "tags": [self._method.proto_service.rpartition(".")[2]],
            "summary": summary,
            "description": description,
            "parameters": [*self._path_parameters(), *self._query_parameters()],
            "requestBody": self._body(),
            "responses": self._responses(),
        }
        operation = {key: value for key, value in operation.items() if value}
        if self._method.access is not Access.PUBLIC:
            operation["security"] = [{"bearer": [self._method.access.name.lower()]}]
        return operation

    def _path_parameters(self) -> Iterator[Schema]:
        for name, variable in zip(self._variables, self._binding.variables, strict=True):
            *_, field = _along(self._method.request, variable)
            yield self._parameter(name, field, "path")

    def _query_parameters(self) -> Iterator[Schema]:
        if self._binding.body == "*":
            return
        taken = {self._binding.body, *self._binding.variables}
        yield from self._query_of(self._method.request, "", taken, ())

    def _query_of(self, message: Descriptor, prefix: str, taken: set[str], inside: tuple[str, ...]) -> Iterator[Schema]:
        for field in message.fields:
            name = prefix + field.name
            if name in taken:
                continue
            shape = self._schemas.field(field)
            if field.message_type and "$ref" in shape:
                if field.message_type.full_name not in inside:
                    deeper = (*inside, field.message_type.full_name)
                    yield from self._query_of(field.message_type, f"{name}.", taken, deeper)
            elif not field.message_type or shape.get("type") == "string":
                yield self._parameter(_json_name(self._method.request, name), field, "query")

    def _parameter(self, name: str, field: FieldDescriptor, place: str) -> Schema:
        shape = self._schemas.field(field)
        parameter: Schema = {"name": name, "in": place}
        if description := shape.pop("description", ""):
            parameter["description"] = description
        if place == "path" or self._schemas.required(field):
            parameter["required"] = True
        shape.pop("readOnly", None)
        return parameter | {"schema": shape}

    def _body(self) -> Schema | None:
        if not self._binding.body:
            return None
        field = self._method.request.fields_by_name.get(self._binding.body)
        if field is not None and field.message_type and field.message_type.full_name == _RAW:
            return {"required": self._schemas.required(field), "content": {"*/*": {"schema": self._body_schema()}}}
        return {"required": True, "content": {"application/json": {"schema": self._body_schema()}}}

    def _body_schema(self) -> Schema:
        request = self._method.request
        if self._binding.body != "*":
            return self._schemas.field(request.fields_by_name[self._binding.body])
        in_path = frozenset(self._binding.variables)
        return self._schemas.message(request, in_path) if in_path else self._schemas.reference(request)

    def _responses(self) -> Schema:
        schema = self._schemas.reference(self._method.response)
        success = {"description": "Success.", "content": {"application/json": {"schema": schema}}}
        if self._method.server_streaming:
            text = "Server-sent events; each `data:` line holds one message of this schema as JSON."
            success = {"description": text, "content": {"text/event-stream": {"schema": schema}}}
        failure: dict[str, Any] = {"schema": {"$ref": f"#/components/schemas/{_STATUS}"}}
        return {"200": success, "default": {"description": "Error.", "content": {"application/json": failure}}}
