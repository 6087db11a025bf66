"""What is compiled from our own contract: all of the public API is at the edge, and nothing else is."""

import json

import pytest
import yaml
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from openapi_spec_validator import validate

from scripts.protoc_gen_mesh.model import Access
from scripts.protoc_gen_mesh.plugin import all_targets
from tests.contract.compiling import our_contract

CONTRACT = our_contract()
PUBLIC = [method.full_name for method in CONTRACT.methods if method.public]
INTERNAL = [method.full_name for method in CONTRACT.methods if not method.public]
BOUND = [(binding.verb.lower(), method) for method in CONTRACT.public_methods for binding in method.bindings]


@pytest.fixture(scope="module")
def made():
    """Return every file that is compiled from our contract."""
    return {name: text for target in all_targets().values() for name, text in target(CONTRACT).items()}


@pytest.fixture(scope="module")
def edge(made):
    """Return what the edge is told."""
    return json.loads(made["envoy.json"])


@pytest.fixture(scope="module")
def openapi(made):
    """Return the OpenAPI document."""
    return yaml.safe_load(made["openapi.yaml"])


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_method_has_a_route_a_rule_and_a_deadline(edge, name):
    (facts,) = [method for method in edge["methods"] if method["name"] == name]
    (route,) = [route for route in edge["routes"] if route["name"] == name]
    (rule,) = [rule for rule in edge["jwt_rules"] if rule["match"] == {"path": facts["path"]}]
    assert route["route"]["cluster"] == name.split(".")[1]
    assert rule.get("requirement_name", "public") == facts["access"].lower()
    assert ("request_headers_to_add" in route) == (facts["streaming"] == "none")


@pytest.mark.parametrize("name", INTERNAL)
def test_an_internal_method_is_nowhere_at_the_edge(made, name):
    service, _, method = name.rpartition(".")
    for file in ("envoy.json", "openapi.yaml"):
        assert f"{service}/{method}" not in made[file]
        assert name not in made[file]
    assert name not in public_methods(made)


def test_the_public_descriptor_set_holds_exactly_the_public_methods(made):
    assert public_methods(made) == PUBLIC


def test_the_public_descriptor_set_stands_on_its_own_and_knows_error_details(made):
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(made["public.binpb"]).file:
        pool.Add(file)
    assert pool.FindMessageTypeByName("google.rpc.ErrorInfo").fields_by_name["reason"].number == 1


def test_the_public_descriptor_set_does_not_say_who_calls_whom_or_what_is_published(made):
    for word in (b"meshmart.policy", b"meshmart/policy", b"OrderConfirmed", b"ReserveStock"):
        assert word not in made["public.binpb"]


@pytest.mark.parametrize(("verb", "method"), BOUND, ids=[f"{verb}-{method.full_name}" for verb, method in BOUND])
def test_a_binding_has_an_operation_and_its_security(openapi, verb, method):
    name = f"{method.proto_service.rpartition('.')[2]}_{method.name}"
    (operation,) = [
        operation
        for operations in openapi["paths"].values()
        for key, operation in operations.items()
        if operation["operationId"] == name and key == verb
    ]
    scopes = [] if method.access is Access.PUBLIC else [{"bearer": [method.access.name.lower()]}]
    assert operation.get("security", []) == scopes


def test_the_openapi_document_is_valid(openapi):
    validate(openapi)


def test_a_body_of_any_kind_may_be_left_out(openapi):
    body = openapi["paths"]["/v1/notifications:unsubscribe"]["post"]["requestBody"]
    assert (body["required"], list(body["content"])) == (False, ["*/*"])


def test_only_calls_that_may_be_repeated_are_retried(made):
    retried = {
        f"{config['name'][0]['service']}.{config['name'][0]['method']}"
        for config in json.loads(made["service_config.json"])["methodConfig"]
        if "retryPolicy" in config
    }
    assert "meshmart.order.v1.OrderService.PlaceOrder" in retried
    assert "meshmart.identity.v1.IdentityService.CreateSession" not in retried


def public_methods(made) -> list[str]:
    """Return the full names of the methods in the public descriptor set, in the order of the contract."""
    files = FileDescriptorSet.FromString(made["public.binpb"]).file
    found = {
        f"{file.package}.{service.name}.{method.name}"
        for file in files
        for service in file.service
        for method in service.method
    }
    return [name for name in PUBLIC + INTERNAL if name in found]
