"""Messages as JSON Schema, in the JSON mapping of protobuf."""

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FieldOptions

from scripts.protoc_gen_mesh.model import Contract
from scripts.protoc_gen_mesh.rules import constraints

Schema = dict[str, Any]

_REQUIRED, _OUTPUT_ONLY, _INPUT_ONLY = 2, 3, 4
_KINDS = FieldDescriptor
_SCALARS: dict[int, Schema] = {
    _KINDS.TYPE_DOUBLE: {"type": "number", "format": "double"},
    _KINDS.TYPE_FLOAT: {"type": "number", "format": "float"},
    _KINDS.TYPE_BOOL: {"type": "boolean"},
    _KINDS.TYPE_STRING: {"type": "string"},
    _KINDS.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    **{
        kind: {"type": "integer", "format": "int32"}
        for kind in (_KINDS.TYPE_INT32, _KINDS.TYPE_SINT32, _KINDS.TYPE_SFIXED32)
    },
    **{kind: {"type": "integer", "minimum": 0} for kind in (_KINDS.TYPE_UINT32, _KINDS.TYPE_FIXED32)},
    **{
        kind: {"type": "string", "format": "int64"}
        for kind in (_KINDS.TYPE_INT64, _KINDS.TYPE_SINT64, _KINDS.TYPE_SFIXED64)
    },
    **{kind: {"type": "string", "format": "uint64"} for kind in (_KINDS.TYPE_UINT64, _KINDS.TYPE_FIXED64)},
}
_WELL_KNOWN: dict[str, Schema] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$"},
    "google.protobuf.FieldMask": {"type": "string", "description": "Paths in lowerCamelCase, separated by commas."},
    "google.protobuf.Struct": {"type": "object"},
    "google.protobuf.Value": {},
    "google.protobuf.ListValue": {"type": "array", "items": {}},
    "google.protobuf.Empty": {"type": "object"},
    "google.protobuf.Any": {"type": "object", "properties": {"@type": {"type": "string"}}},
    "google.api.HttpBody": {"type": "string", "contentEncoding": "binary"},
    **{f"google.protobuf.{name}Value": {"type": ["string", "null"]} for name in ("String", "Bytes", "Int64", "UInt64")},
    **{f"google.protobuf.{name}Value": {"type": ["number", "null"]} for name in ("Double", "Float", "Int32", "UInt32")},
    "google.protobuf.BoolValue": {"type": ["boolean", "null"]},
}


class Schemas:
    """Schemas of messages and enums, collected by full name as they are referred to."""

    def __init__(self, contract: Contract) -> None:
        """Start with none."""
        self._contract = contract
        self._found: dict[str, Schema] = {}

    def components(self) -> dict[str, Schema]:
        """Return the schemas that were referred to, sorted by name."""
        return dict(sorted(self._found.items()))

    def reference(self, kind: Descriptor | EnumDescriptor) -> Schema:
        """Return a reference to a message or enum, or what stands for a well-known type."""
        if kind.full_name in _WELL_KNOWN:
            return dict(_WELL_KNOWN[kind.full_name])
        if kind.full_name not in self._found:
            self._found[kind.full_name] = {}  # Before its fields, because a message may contain itself.
            self._found[kind.full_name] = self._enum(kind) if isinstance(kind, EnumDescriptor) else self.message(kind)
        return {"$ref": f"#/components/schemas/{kind.full_name}"}

    def message(self, message: Descriptor, leave_out: frozenset[str] = frozenset()) -> Schema:
        """Return the schema of a message in place, without some of its fields."""
        fields = [field for field in message.fields if field.name not in leave_out]
        required = [field.camelcase_name for field in fields if self.required(field)]
        return _compact(
            {
                "type": "object",
                "description": self.comment(message.full_name),
                "properties": {field.camelcase_name: self.field(field) for field in fields},
                "required": required,
            }
        )

    def field(self, field: FieldDescriptor) -> Schema:
        """Return the schema of a field, with its comment and the limits that JSON Schema can express."""
        behaviours = self._behaviours(field)
        notes = {
            "description": self.comment(field.full_name),
            "readOnly": _OUTPUT_ONLY in behaviours,
            "writeOnly": _INPUT_ONLY in behaviours,
            "deprecated": self._options(field).deprecated,
        }
        rules = self._contract.options.get(self._options(field), "buf.validate.field")
        return self._shape(field, rules) | _compact(notes)

    def required(self, field: FieldDescriptor) -> bool:
        """Return whether a request must set a field."""
        return _REQUIRED in self._behaviours(field)

    def _behaviours(self, field: FieldDescriptor) -> list[int]:
        return self._contract.options.get(self._options(field), "google.api.field_behavior") or []

    def comment(self, full_name: str) -> str:
        """Return the comment above a message, field, enum, service or method."""
        source = self._contract.sources.get(full_name)
        return source.comment if source else ""

    def _options(self, field: FieldDescriptor) -> FieldOptions:
        return field.GetOptions()

    def _shape(self, field: FieldDescriptor, rules: Any) -> Schema:
        if field.message_type and field.message_type.GetOptions().map_entry:
            value = field.message_type.fields_by_name["value"]
            return {"type": "object", "additionalProperties": self._single(value, None)}
        if field.is_repeated:
            items = rules.repeated.items if rules and rules.repeated.HasField("items") else None
            return {"type": "array", "items": self._single(field, items)} | constraints(rules)
        return self._single(field, rules)

    def _single(self, field: FieldDescriptor, rules: Any) -> Schema:
        if field.message_type:
            return self.reference(field.message_type)
        if field.enum_type:
            return self.reference(field.enum_type)
        return _SCALARS[field.type] | constraints(rules)

    def _enum(self, enum: EnumDescriptor) -> Schema:
        lines = [self.comment(enum.full_name), *self._values(enum)]
        names = [value.name for value in enum.values]
        return _compact({"type": "string", "description": "\n".join(filter(None, lines)), "enum": names})

    def _values(self, enum: EnumDescriptor) -> Iterator[str]:
        for value in enum.values:
            if comment := self.comment(f"{enum.full_name}.{value.name}"):
                yield f"- `{value.name}`: " + " ".join(comment.split())


def _compact(schema: Schema) -> Schema:
    return {key: value for key, value in schema.items() if value}
