"""The storefront: shows the public API at the edge, so that `grpcurl HOST:PORT list` works. It owns nothing yet.

Its health answers for each public service by watching the service's own health, so that a check at the edge says what
is behind it. A service that is missing makes the storefront degraded, never NOT_SERVING.
"""

from pathlib import Path
from typing import Final

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from services.chassis.public_api import PublicApi
from services.chassis.runtime import Runtime
from services.chassis.service import Components, Service
from services.chassis.settings import StatelessSettings, prefix

PUBLIC_DESCRIPTORS: Final = Path(__file__).parents[2] / "gen" / "mesh" / "public.binpb"
"""Written by the contract compiler: what is not INTERNAL."""


class StorefrontSettings(StatelessSettings):
    """What the storefront needs."""

    model_config = prefix("storefront")


def build(_: Runtime) -> Components:
    """Build the storefront."""
    descriptors = FileDescriptorSet.FromString(PUBLIC_DESCRIPTORS.read_bytes())
    return Components(servicers=(), public_api=PublicApi(descriptors))


SERVICE: Final = Service(
    name="storefront",
    index=8,
    settings=StorefrontSettings,
    build=build,
    neighbours=("identity", "catalog", "inventory", "payment", "order", "notification", "analytics"),
    has_database=False,
)
