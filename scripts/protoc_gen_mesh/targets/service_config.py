"""gRPC service config for clients: deadlines, retries, balancing."""

from typing import Any

from scripts.protoc_gen_mesh.model import Contract, Method
from scripts.protoc_gen_mesh.text import duration, to_json

_RETRY = {
    "maxAttempts": 3,
    "initialBackoff": "0.05s",
    "maxBackoff": "0.5s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
_THROTTLING = {"maxTokens": 100, "tokenRatio": 0.1}


def generate(contract: Contract) -> dict[str, str | bytes]:
    """Return `service_config.json`, which names every method."""
    config = {
        "loadBalancingConfig": [{"round_robin": {}}],
        "retryThrottling": _THROTTLING,
        "methodConfig": [_method(method) for method in contract.methods],
    }
    return {"service_config.json": to_json(config)}


def _method(method: Method) -> dict[str, Any]:
    config: dict[str, Any] = {"name": [{"service": method.proto_service, "method": method.name}]}
    if method.timeout is not None:
        config["timeout"] = duration(method.timeout)
    if method.retryable:
        config["retryPolicy"] = _RETRY
    return config
