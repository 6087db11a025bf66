"""The edge's configuration: a pure function of the template, the contract and the addresses.

`${name}` standing alone becomes what the name stands for, of whatever type; in a list, a list is spliced in.
"""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

DOMAIN = "meshmart.dev"
_GRPC = "'content-type' in request.headers && request.headers['content-type'].startsWith('application/grpc')"
# A transcoded request looks like gRPC from there on; only it has an original path (a client's own is taken away).
_NATIVE = f"({_GRPC} && !('x-envoy-original-path' in request.headers))"
_HTTP_STATUS = {
    "INVALID_ARGUMENT": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "UNIMPLEMENTED": 501,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
_NOTHING = {"not_rule": {"any": True}}
_THIS_MACHINE = {"safe_regex": {"regex": r"http://(localhost|127\.0\.0\.1)(:\d+)?"}}


@dataclass(frozen=True)
class Addresses:
    """Where the edge listens and finds things."""

    listen_address: str
    listen_port: int
    admin_port: int
    services: Mapping[str, tuple[str, int]]
    """Host and port by service."""
    descriptor_set: str
    """Path of public.binpb where Envoy runs."""
    allowed_origins: Sequence[Mapping[str, Any]] = (_THIS_MACHINE,)
    """StringMatchers of the origins whose pages may call."""


def render(template: str, contract: Mapping[str, Any], addresses: Addresses) -> str:
    """Return Envoy's configuration as YAML."""
    bootstrap, cluster, refusals = yaml.safe_load_all(template)
    filled = _fill(bootstrap, {
        "listen_address": addresses.listen_address,
        "listen_port": addresses.listen_port,
        "admin_port": addresses.admin_port,
        "descriptor_set": addresses.descriptor_set,
        "allowed_origins": list(addresses.allowed_origins),
        "clusters": list(_clusters(cluster, contract, addresses)),
        "routes": contract["routes"],
        "jwt_rules": contract["jwt_rules"],
        "staff_permissions": contract["staff_permissions"] or [_NOTHING],
        "services": contract["services"],
        "refusals": [mapper for refusal in refusals for mapper in _mappers(refusal)],
    })  # fmt: skip
    text: str = yaml.safe_dump(filled, sort_keys=False, width=120)
    return text


def _fill(node: Any, values: Mapping[str, Any]) -> Any:
    match node:
        case str() if node.startswith("${") and node.endswith("}"):
            return values[node[2:-1]]
        case dict():
            return {key: _fill(value, values) for key, value in node.items()}
        case list():
            return [filled for item in node for filled in _spliced(item, values)]
    return node


def _spliced(item: Any, values: Mapping[str, Any]) -> Sequence[Any]:
    filled = _fill(item, values)
    return filled if isinstance(item, str) and isinstance(filled, list) else [filled]


def _clusters(template: Any, contract: Mapping[str, Any], addresses: Addresses) -> Iterator[Any]:
    for name in sorted({*contract["clusters"], "storefront"}):
        host, port = addresses.services[name]
        yield _fill(template, {"name": name, "host": host, "port": port})
    itself = _fill(template, {"name": "edge", "host": "127.0.0.1", "port": addresses.listen_port})
    yield {key: value for key, value in itself.items() if key != "typed_extension_protocol_options"}  # HTTP/1.1


def _mappers(refusal: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the two forms of a refusal: for gRPC, then for all else."""
    when, name, message = refusal["when"], refusal["code"], refusal["message"]
    info = error_details_pb2.ErrorInfo(reason=refusal["reason"], domain=DOMAIN)
    code = code_pb2.Code.Value(name)
    yield {
        "filter": _filter(f"({when}) && {_NATIVE}"),
        "headers_to_add": [
            _header("grpc-status", str(code)),
            _header("grpc-status-details-bin", _details(code, message, info)),
        ],
        "body_format_override": {"text_format_source": {"inline_string": message}},
    }
    yield {
        "filter": _filter(f"({when}) && !{_NATIVE}"),
        "status_code": refusal.get("status", _HTTP_STATUS[name]),
        "body_format_override": {"json_format": {"code": code, "message": message, "details": [_json(info)]}},
    }


def _filter(expression: str) -> dict[str, Any]:
    kind = "type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter"
    config = {"@type": kind, "expression": expression}
    return {"extension_filter": {"name": "envoy.access_loggers.extension_filters.cel", "typed_config": config}}


def _header(key: str, value: str) -> dict[str, Any]:
    return {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _details(code: int, message: str, info: error_details_pb2.ErrorInfo) -> str:
    packed = any_pb2.Any()
    packed.Pack(info)
    status = status_pb2.Status(code=code, message=message, details=[packed])
    return base64.b64encode(status.SerializeToString(deterministic=True)).decode()


def _json(info: error_details_pb2.ErrorInfo) -> dict[str, Any]:
    kind = "type.googleapis.com/google.rpc.ErrorInfo"
    return {"@type": kind, "reason": info.reason, "domain": info.domain}
