"""Limits of protovalidate that JSON Schema can express; the others are in the comments."""

from typing import Any

Schema = dict[str, Any]

_NUMBERS = {"gte": "minimum", "gt": "exclusiveMinimum", "lte": "maximum", "lt": "exclusiveMaximum"}
_STRINGS = {"min_len": "minLength", "max_len": "maxLength", "pattern": "pattern"}
_ITEMS = {"min_items": "minItems", "max_items": "maxItems", "unique": "uniqueItems"}
_KEYWORDS: dict[str, dict[str, str]] = {
    **dict.fromkeys(("int32", "sint32", "sfixed32", "uint32", "fixed32", "float", "double"), _NUMBERS),
    "string": _STRINGS,
    "repeated": _ITEMS,
}
_FORMATS = {
    "uuid": "uuid",
    "email": "email",
    "uri": "uri",
    "uri_ref": "uri-reference",
    "hostname": "hostname",
    "ipv4": "ipv4",
    "ipv6": "ipv6",
}


def constraints(rules: Any | None) -> Schema:
    """Return the keywords for a `buf.validate.FieldRules`; none for None. 64-bit numbers are strings in JSON: no limits."""
    kind = rules.WhichOneof("type") if rules is not None else None
    if kind not in _KEYWORDS:
        return {}
    typed = getattr(rules, kind)
    given = {field.name: value for field, value in typed.ListFields()}
    schema = {keyword: given[name] for name, keyword in _KEYWORDS[kind].items() if name in given}
    formats = [_FORMATS[name] for name, value in given.items() if name in _FORMATS and value is True]
    if formats:
        schema["format"] = formats[0]
    if "in" in given:
        schema["enum"] = list(given["in"])
    return schema
