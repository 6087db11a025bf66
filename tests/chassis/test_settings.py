"""Settings: read once, frozen, every problem named in a line of its own, secrets never repeated."""

import pytest
from pydantic import Field, SecretStr, ValidationError

from services.chassis.service import Components, Service
from services.chassis.settings import ServiceSettings, StatelessSettings, help_text, prefix, read_settings


class OrderSettings(ServiceSettings):
    model_config = prefix("order")

    saga_limit: int = Field(1000, gt=0, description="Sagas that may wait; more are refused.")


class StorefrontSettings(StatelessSettings):
    model_config = prefix("storefront")


def _service(name, settings, *neighbours):
    return Service(name, 0, settings, lambda _: Components(()), neighbours)


ORDER = _service("order", OrderSettings, "catalog")
STOREFRONT = _service("storefront", StorefrontSettings, "order")

GOOD = {
    "MESHMART_ORDER_DATABASE_URL": "postgresql://order:hunter2@/meshmart_order",
    "MESHMART_ORDER_NATS_PASSWORD": "hunter3",
    "MESHMART_CATALOG_ADDRESS": "127.0.0.1:8092",
    "MESHMART_IDENTITY_ADDRESS": "127.0.0.1:8090",
}


@pytest.fixture
def environment(monkeypatch):
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.fixture
def problems(environment, capsys):
    """Return a function that sets variables (None removes one) and returns the lines that the start stops with."""

    def problems(**variables):
        for name, value in variables.items():
            environment.delenv(name) if value is None else environment.setenv(name, value)
        with pytest.raises(SystemExit) as stop:
            read_settings([ORDER])
        assert stop.value.code == 2
        return capsys.readouterr().err.splitlines()

    return problems


def test_a_service_gets_what_the_environment_says_and_defaults_for_the_rest(environment):
    environment.setenv("MESHMART_ORDER_POOL_SIZE", "9")

    process, settings = read_settings([ORDER])

    assert settings["order"].pool_size == 9
    assert settings["order"].model_dump()["saga_limit"] == 1000
    assert process.grpc_listen == "127.0.0.1:8090"
    assert process.address_of("catalog") == "127.0.0.1:8092"


def test_settings_cannot_be_changed(environment):
    _, settings = read_settings([ORDER])

    with pytest.raises(ValidationError, match="frozen"):
        settings["order"].pool_size = 1


def test_the_address_of_a_service_in_the_same_process_is_not_needed(environment):
    process, _ = read_settings([ORDER, STOREFRONT])

    assert set(process.addresses) == {"catalog", "identity"}


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        ("MESHMART_ORDER_POOL_SIZE", "x", "expected an integer >= 1, got 'x'"),
        ("MESHMART_ORDER_POOL_SIZE", "0", "expected an integer >= 1, got '0'"),
        ("MESHMART_ORDER_SAGA_LIMIT", "-1", "expected an integer >= 1, got '-1'"),
        ("MESHMART_ORDER_DATABASE_URL", None, "expected a secret, got nothing"),
        ("MESHMART_ORDER_NATS_PASSWORD", "", "expected a secret, got nothing"),
        ("MESHMART_LOG_LEVEL", "loud", "expected one of DEBUG | INFO | WARNING | ERROR, got 'loud'"),
        ("MESHMART_GRPC_LISTEN", "8090", "expected a host:port, got '8090'"),
        ("MESHMART_HTTP_LISTEN", "127.0.0.1:99999", "expected a host:port, got '127.0.0.1:99999'"),
        ("MESHMART_CATALOG_ADDRESS", None, "expected a host:port of catalog, got nothing"),
        ("MESHMART_IDENTITY_ADDRESS", "there", "expected a host:port of identity, got 'there'"),
        ("OTEL_TRACES_SAMPLER_ARG", "7", "expected a number >= 0 and <= 1, got '7'"),
    ],
)
def test_a_wrong_or_missing_variable_stops_the_start_with_its_name(problems, variable, value, line):
    assert problems(**{variable: value}) == [f"{variable}: {line}"]


def test_all_problems_are_told_at_once(problems):
    lines = problems(MESHMART_ORDER_POOL_SIZE="x", MESHMART_CATALOG_ADDRESS=None, MESHMART_LOG_LEVEL="loud")

    assert len(lines) == 3


def test_a_secret_is_never_repeated(environment):
    process, settings = read_settings([ORDER])

    assert "hunter" not in repr((process, settings))
    assert settings["order"].nats_password == SecretStr("hunter3")


def test_help_lists_every_variable_with_type_default_and_meaning():
    lines = {line.split()[0]: line for line in help_text([ORDER, STOREFRONT]).splitlines() if "MESHMART" in line}

    assert "integer >= 1; default 5. Connections to the database." in lines["MESHMART_ORDER_POOL_SIZE"]
    assert "secret; required." in lines["MESHMART_ORDER_DATABASE_URL"]
    assert "Sagas that may wait" in lines["MESHMART_ORDER_SAGA_LIMIT"]
    assert "MESHMART_GRPC_LISTEN" in lines
    assert "MESHMART_ORDER_ADDRESS" in lines


def test_help_does_not_list_what_a_service_without_database_does_not_use():
    assert "MESHMART_STOREFRONT_DATABASE_URL" not in help_text([STOREFRONT])
