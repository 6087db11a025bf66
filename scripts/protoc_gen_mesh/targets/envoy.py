"""What the edge needs: routes, JWT rules and the public descriptor set. Nothing INTERNAL is in it."""

from typing import Any

from scripts.protoc_gen_mesh.http import Binding
from scripts.protoc_gen_mesh.model import Access, Contract, Method
from scripts.protoc_gen_mesh.public_set import public_set
from scripts.protoc_gen_mesh.text import duration, to_json

# The service answers DEADLINE_EXCEEDED or ends a stream itself; the edge only cuts what hangs.
_UNARY_GRACE, _STREAM_GRACE = 0.5, 5.0
# A gRPC server that has begun to stop answers what still reaches it with CANCELLED, without having looked at it.
_RETRY = {"retry_on": "unavailable,cancelled,reset,connect-failure,refused-stream", "num_retries": 2}


def generate(contract: Contract) -> dict[str, str | bytes]:
    """Return `envoy.json` (described in README.md) and `public.binpb`."""
    methods = contract.public_methods
    bound = sorted(
        ((binding, method) for method in methods for binding in method.bindings),
        key=lambda pair: pair[0].specificity,
    )
    edge = {
        "descriptor_set": "public.binpb",
        "services": list(dict.fromkeys(method.proto_service for method in methods)),
        "clusters": sorted({method.service for method in methods}),
        "routes": [*map(_route, methods), *_rest_routes(bound)],
        "jwt_rules": [_jwt_rule({"path": method.path}, method) for method in methods]
        + [_jwt_rule(_rest_match(binding), method) for binding, method in bound],
        "staff_permissions": [_grpc_permission(method) for method in methods if method.access is Access.STAFF]
        + [_rest_permission(binding) for binding, method in bound if method.access is Access.STAFF],
        "methods": [_facts(method) for method in methods],
    }
    return {"envoy.json": to_json(edge), "public.binpb": public_set(contract)}


def _route(method: Method) -> dict[str, Any]:
    route: dict[str, Any] = {"name": method.full_name, "match": {"path": method.path}}
    action: dict[str, Any] = {"cluster": method.service}
    route["route"] = action
    if method.timeout is not None:
        action["timeout"] = duration(method.timeout + _UNARY_GRACE)
        route["request_headers_to_add"] = [_deadline(method.timeout)]
    if method.idle_timeout is not None and method.max_age is not None:
        action["timeout"] = "0s"
        action["idle_timeout"] = duration(method.idle_timeout + _STREAM_GRACE)
        action["max_stream_duration"] = {"max_stream_duration": duration(method.max_age + _STREAM_GRACE)}
    if method.retryable:
        action["retry_policy"] = _RETRY
    return route


def _deadline(seconds: float) -> dict[str, Any]:
    return {"header": {"key": "grpc-timeout", "value": _grpc_timeout(seconds)}, "append_action": "ADD_IF_ABSENT"}


def _grpc_timeout(seconds: float) -> str:
    return f"{round(seconds * 1000)}m"


def _rest_routes(bound: list[tuple[Binding, Method]]) -> list[dict[str, Any]]:
    clusters: dict[str, tuple[Binding, Method]] = {}
    for binding, method in bound:
        clusters.setdefault(binding.regex, (binding, method))
    return [
        {"name": f"REST {binding.path}", "match": _path_match(binding), "route": {"cluster": method.service}}
        for binding, method in clusters.values()
    ]


def _path_match(binding: Binding) -> dict[str, Any]:
    return {"safe_regex": {"regex": binding.regex}}


def _rest_match(binding: Binding) -> dict[str, Any]:
    return _path_match(binding) | {"headers": [_verb(binding)]}


def _verb(binding: Binding) -> dict[str, Any]:
    return {"name": ":method", "string_match": {"exact": binding.verb}}


def _jwt_rule(match: dict[str, Any], method: Method) -> dict[str, Any]:
    if method.access is Access.PUBLIC:
        return {"match": match}
    return {"match": match, "requirement_name": method.access.name.lower()}


def _grpc_permission(method: Method) -> dict[str, Any]:
    return {"url_path": {"path": {"exact": method.path}}}


def _rest_permission(binding: Binding) -> dict[str, Any]:
    return {"and_rules": {"rules": [{"header": _verb(binding)}, {"url_path": {"path": _path_match(binding)}}]}}


def _facts(method: Method) -> dict[str, Any]:
    streaming = {(False, False): "none", (True, False): "client", (False, True): "server", (True, True): "both"}
    return {
        "name": method.full_name,
        "path": method.path,
        "cluster": method.service,
        "access": method.access.name,
        "streaming": streaming[method.client_streaming, method.server_streaming],
        "timeout": _optional(method.timeout),
        "grpc_timeout": None if method.timeout is None else _grpc_timeout(method.timeout),
        "idle_timeout": _optional(method.idle_timeout),
        "max_age": _optional(method.max_age),
        "retry": method.retryable,
        "http": [
            {"verb": binding.verb, "path": binding.path, "regex": binding.regex, "body": binding.body}
            for binding in method.bindings
        ],
    }


def _optional(seconds: float | None) -> str | None:
    return None if seconds is None else duration(seconds)
