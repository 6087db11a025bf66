"""The analytics service's declaration: settings in, objects built."""

from services.analytics.consumers import SalesProjections
from services.analytics.store import SalesStore
from services.chassis.runtime import Runtime
from services.chassis.service import Components, Service
from services.chassis.settings import ServiceSettings, prefix


class AnalyticsSettings(ServiceSettings):
    """What the analytics service needs; nothing besides."""

    model_config = prefix("analytics")


def build(runtime: Runtime) -> Components:
    """Build the service."""
    read_model = SalesProjections(SalesStore(runtime.database)).read_model()
    return Components(servicers=(), consumers=read_model.consumers(), read_model=read_model)


SERVICE = Service(name="analytics", index=6, settings=AnalyticsSettings, build=build)
