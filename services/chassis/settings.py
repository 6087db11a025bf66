"""Settings by environment: read once, frozen, all listed by `python -m services --help`."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NoReturn, TypeVar

from pydantic import AfterValidator, Field, PositiveInt, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    SettingsConfigDict,
    SettingsError,
)

from services.chassis.failpoints import SYNTAX, checked
from services.chassis.service import Service
from services.chassis.settings_text import Problem, Says, help_line, problem_of

S = TypeVar("S", bound=BaseSettings)

_LAST_PORT = 65_535


def _address(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal() or int(port) > _LAST_PORT:
        raise ValueError("no host:port")
    return value


Address = Annotated[str, AfterValidator(_address), Says("host:port")]
"""A host and a port, `127.0.0.1:8090`."""


def prefix(service: str) -> SettingsConfigDict:
    """Return the model_config of a service's settings: `pool_size` of order is MESHMART_ORDER_POOL_SIZE."""
    return SettingsConfigDict(env_prefix=f"MESHMART_{service.upper()}_")


class _Environment(BaseSettings):
    """Settings that come from the environment and from nowhere else."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_ignore_empty=True, validate_default=True, populate_by_name=True
    )


class ProcessSettings(_Environment):
    """What the process as a whole needs."""

    model_config = SettingsConfigDict(env_prefix="MESHMART_")

    grpc_listen: Address = Field(
        default="127.0.0.1:8090", description="Where the gRPC server listens; port 0 takes a free one."
    )
    http_listen: Address = Field(default="127.0.0.1:8091", description="Where /livez, /readyz and /metrics listen.")
    nats_url: str = Field(default="nats://127.0.0.1:8082", description="The broker, without user and password.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="Least level that is logged."
    )
    drain_delay: float = Field(default=0.0, ge=0, description="Seconds between NOT_SERVING and the last accepted call.")
    drain_grace: float = Field(default=10.0, ge=0, description="Seconds that calls in flight get to finish.")
    connection_max_age: float = Field(
        default=60.0, gt=0, description="Seconds after which callers reconnect, and so find new replicas."
    )
    otlp_endpoint: str = Field(
        default="",
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        description="OTLP gRPC collector, http://host:4317. Without it nothing is traced.",
    )
    sampler_ratio: float = Field(
        default=0.05,
        ge=0,
        le=1,
        validation_alias="OTEL_TRACES_SAMPLER_ARG",
        description="Part of the calls without a traceparent that is traced.",
    )
    failpoints: Annotated[str, AfterValidator(checked)] = Field(
        default="", description=f"Where to die, fail or wait, in tests: {SYNTAX}."
    )
    addresses: Annotated[dict[str, Address], NoDecode] = Field(default_factory=dict, exclude=True)
    """Where the neighbours are; each entry is MESHMART_<NAME>_ADDRESS."""

    def address_of(self, service: str) -> str:
        """Return where to find a service that this process does not host itself. Raises KeyError if that is unknown."""
        return self.addresses[service]


class ServiceSettings(_Environment):
    """What each service needs. A service adds its own in a subclass whose model_config is `prefix(name)`."""

    database_url: SecretStr = Field(description="PostgreSQL URL of the service's own database and role.")
    nats_password: SecretStr = Field(description="Password of the service's own user at the broker.")
    pool_size: PositiveInt = Field(default=5, description="Connections to the database.")
    max_in_flight: PositiveInt = Field(default=64, description="Calls served at once.")
    max_queue: int = Field(default=128, ge=0, description="Calls that may wait for a place; more are refused.")


class StatelessSettings(ServiceSettings):
    """What a service without database and events needs."""

    database_url: SecretStr = Field(default=SecretStr(""), description="Not used.")
    nats_password: SecretStr = Field(default=SecretStr(""), description="Not used.")
    pool_size: PositiveInt = Field(default=5, description="Not used.")


def read_settings(services: Sequence[Service]) -> tuple[ProcessSettings, dict[str, ServiceSettings]]:
    """Return the settings of the process and of each service. Ends the process with code 2 if any are wrong."""
    problems: list[Problem] = []
    process = _read(ProcessSettings, problems, addresses=_addresses(services, os.environ, problems))
    settings = {service.name: _read(service.settings, problems) for service in services}
    if problems:
        _refuse(problems)
    return process, settings


def _read(kind: type[S], problems: list[Problem], **values: Any) -> S:
    try:
        return kind(**values)
    except ValidationError as error:
        fields = {variable_of(kind, name): field for name, field in kind.model_fields.items()}
        for detail in error.errors():
            variable = variable_of(kind, str(detail["loc"][0]))
            problems.append(problem_of(variable, fields.get(variable), detail))
    except SettingsError as error:
        problems.append(Problem(kind.__name__, "JSON", str(error)))
    return kind.model_construct()


def _addresses(services: Sequence[Service], environment: Mapping[str, str], problems: list[Problem]) -> dict[str, str]:
    found = {}
    for name in _remote(services):
        variable = f"MESHMART_{name.upper()}_ADDRESS"
        value = environment.get(variable, "")
        try:
            found[name] = _address(value)
        except ValueError:
            problems.append(Problem(variable, f"a host:port of {name}", repr(value) if value else "nothing"))
    return found


def _remote(services: Sequence[Service]) -> list[str]:
    """Return the neighbours that other processes host; identity among them, for its keys check every token."""
    hosted = {service.name for service in services}
    called = {name for service in services for name in service.neighbours}
    return sorted((called | {"identity"}) - hosted)


def _refuse(problems: Sequence[Problem]) -> NoReturn:
    for problem in problems:
        print(problem, file=sys.stderr)  # noqa: T201  # there is no logger before there are settings
    raise SystemExit(2)


def variable_of(kind: type[BaseSettings], name: str) -> str:
    """Return the environment variable of a field; `name` may already be the variable."""
    field = kind.model_fields.get(name)
    if field is None:
        return name
    alias = field.validation_alias
    return alias if isinstance(alias, str) else f"{kind.model_config.get('env_prefix', '')}{name}".upper()


def help_text(services: Sequence[Service]) -> str:
    """Return a line for each variable: name, type, default, description."""
    return "\n".join(_help_lines(services))


def _help_lines(services: Sequence[Service]) -> Iterator[str]:
    yield "Process"
    yield from (help_line(variable, field) for variable, field in _variables(ProcessSettings))
    for service in services:
        yield f"\n{service.name}"
        yield from (
            help_line(variable, field)
            for variable, field in _variables(service.settings)
            if field.description != "Not used."
        )
        yield f"  {f'MESHMART_{service.name.upper()}_ADDRESS':<44} host:port  Where callers find {service.name}."


def _variables(kind: type[BaseSettings]) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in kind.model_fields.items():
        if not field.exclude:
            yield variable_of(kind, name), field
