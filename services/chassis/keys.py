"""Identity's public keys, fetched through the same stubs as everything else."""

import jwt
from google.protobuf.json_format import MessageToDict
from meshmart.identity.v1 import identity_service_pb2 as pb
from meshmart.identity.v1.identity_service_pb2_grpc import IdentityServiceStub

from services.chassis.auth import FetchKeys, Keys
from services.chassis.runtime import Runtime


def fetcher(runtime: Runtime) -> FetchKeys:
    """Return what fetches the keys; every service may, identity need not be among its declared neighbours."""
    identity = runtime.stub(IdentityServiceStub)

    async def fetch() -> Keys:
        reply = await identity.GetJsonWebKeySet(pb.GetJsonWebKeySetRequest())
        return {key.kid: jwt.PyJWK(MessageToDict(key)) for key in reply.keys}

    return fetch
