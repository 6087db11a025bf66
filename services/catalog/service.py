"""Declares the catalog service."""

from meshmart.catalog.v1.catalog_service_pb2_grpc import add_CatalogServiceServicer_to_server

from services.catalog.api import CatalogApi
from services.catalog.store import Store
from services.chassis.runtime import Runtime
from services.chassis.service import Components, Service, Servicer
from services.chassis.settings import ServiceSettings, prefix


class CatalogSettings(ServiceSettings):
    """The catalog needs what every service needs."""

    model_config = prefix("catalog")


def build(runtime: Runtime) -> Components:
    """Join the catalog's parts."""
    api = CatalogApi(Store(runtime.database), runtime.outbox)
    return Components(servicers=(Servicer(add_CatalogServiceServicer_to_server, api),))


SERVICE = Service(name="catalog", index=1, settings=CatalogSettings, build=build)
