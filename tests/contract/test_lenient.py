"""The compiler on protos that have none of our options: it works, with the defaults that its README states."""

import json

import pytest

from scripts.protoc_gen_mesh.plugin import ParameterError, read_parameters
from tests.contract.compiling import TESTDATA, compiled


@pytest.fixture(scope="module")
def made():
    """Return what the compiler makes of a greeter and a bookstore that never heard of us."""
    return compiled(TESTDATA / "plain")


def test_a_unary_call_has_15_seconds_and_no_retries(made):
    (config,) = [
        config
        for config in json.loads(made["service_config.json"])["methodConfig"]
        if config["name"] == [{"service": "helloworld.Greeter", "method": "SayHello"}]
    ]
    assert config["timeout"] == "15s"
    assert "retryPolicy" not in config


def test_a_stream_has_no_timeout(made):
    (config,) = [
        config
        for config in json.loads(made["service_config.json"])["methodConfig"]
        if config["name"][0]["method"] == "SayHelloStreamReply"
    ]
    assert "timeout" not in config


def test_a_method_with_a_binding_is_public_and_one_without_is_internal(made):
    assert [
        (method["name"], method["access"], method["cluster"]) for method in json.loads(made["envoy.json"])["methods"]
    ] == [("bookstore.v1.Bookstore.GetBook", "PUBLIC", "bookstore")]


def test_a_path_pattern_becomes_a_regular_expression(made):
    (method,) = json.loads(made["envoy.json"])["methods"]
    assert method["http"][0]["regex"] == "/v1/shelves/[^/]+/books/[^/]+/?"


def test_services_are_named_after_their_packages(made):
    assert "  helloworld[helloworld]\n" in made["graph.mmd"]


def test_only_the_targets_asked_for_are_made():
    assert list(compiled(TESTDATA / "plain", "targets=graph+service_config")) == ["graph.mmd", "service_config.json"]


@pytest.mark.parametrize(
    ("parameter", "says"),
    [
        ("strickt", "known: strict, services=a+b"),
        ("strict=perhaps", "known: strict"),
        ("targets=teapot", "known: envoy, "),
    ],
)
def test_an_unknown_parameter_is_refused_with_the_known_ones(parameter, says):
    with pytest.raises(ParameterError, match=says.replace("+", r"\+")):
        compiled(TESTDATA / "plain", parameter)


def test_parameters_are_read_in_any_order():
    parameters = read_parameters("services=a+b,strict")
    assert (parameters.strict, parameters.services, parameters.targets) == (True, ("a", "b"), ())
