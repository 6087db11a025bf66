"""The analytics service's declaration: settings in, objects built."""

from meshmart.analytics.v1.analytics_service_pb2_grpc import add_AnalyticsServiceServicer_to_server

from services.analytics.api import AnalyticsApi
from services.analytics.consumers import SalesProjections
from services.analytics.reader import SalesReader
from services.analytics.store import SalesStore
from services.chassis.database import Database
from services.chassis.generations import ReadModel
from services.chassis.runtime import Runtime
from services.chassis.service import Components, Service, Servicer, Task
from services.chassis.settings import ServiceSettings, prefix


class AnalyticsSettings(ServiceSettings):
    """What the analytics service needs; nothing besides."""

    model_config = prefix("analytics")


def read_model(database: Database) -> ReadModel:
    """Return what follows from events alone."""
    return SalesProjections(SalesStore(database)).read_model()


def build(runtime: Runtime) -> Components:
    """Build the service."""
    api = AnalyticsApi(SalesReader(runtime.database), runtime.freshness)
    return Components(
        servicers=(Servicer(add_AnalyticsServiceServicer_to_server, api),),
        consumers=read_model(runtime.database).consumers(),
        tasks=(Task("freshness", runtime.freshness.run),),
    )


SERVICE = Service(name="analytics", index=6, settings=AnalyticsSettings, build=build, read_model=read_model)
