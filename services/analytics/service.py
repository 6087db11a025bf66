"""The analytics service's declaration: settings in, objects built."""

from services.chassis.runtime import Runtime
from services.chassis.service import Components, Service
from services.chassis.settings import ServiceSettings, prefix


class AnalyticsSettings(ServiceSettings):
    """What the analytics service needs; nothing besides."""

    model_config = prefix("analytics")


def build(runtime: Runtime) -> Components:  # noqa: ARG001  # nothing yet
    """Build the service."""
    return Components(servicers=())


SERVICE = Service(name="analytics", index=6, settings=AnalyticsSettings, build=build)
