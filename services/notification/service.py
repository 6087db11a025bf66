"""The notification service's declaration: settings in, objects built."""

from services.chassis.runtime import Runtime
from services.chassis.service import Components, Service
from services.chassis.settings import ServiceSettings, prefix


class NotificationSettings(ServiceSettings):
    """What the notification service needs; nothing besides."""

    model_config = prefix("notification")


def build(runtime: Runtime) -> Components:  # noqa: ARG001  # nothing yet
    """Build the service."""
    return Components(servicers=())


SERVICE = Service(name="notification", index=5, settings=NotificationSettings, build=build)
