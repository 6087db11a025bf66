"""Identity's domain as messages of the contract."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp
from meshmart.identity.v1 import customer_events_pb2, customer_pb2
from meshmart.identity.v1.identity_service_pb2 import GetJsonWebKeySetResponse

from services.identity.domain import Customer, Role, Session
from services.identity.keys import PublicKey
from services.identity.tokens import AccessToken

_ROLES = {
    Role.CUSTOMER: customer_pb2.Customer.ROLE_CUSTOMER,
    Role.STAFF: customer_pb2.Customer.ROLE_STAFF,
}


def customer_message(customer: Customer) -> customer_pb2.Customer:
    """Return a customer as the contract shows them."""
    return customer_pb2.Customer(
        id=str(customer.id),
        email=customer.email,
        display_name=customer.display_name,
        role=_ROLES[customer.role],
        create_time=_timestamp(customer.create_time),
    )


def customer_registered(customer: Customer) -> customer_events_pb2.CustomerRegistered:
    """Return the event of a customer who registers."""
    return customer_events_pb2.CustomerRegistered(
        customer_id=str(customer.id), register_time=_timestamp(customer.create_time)
    )


def session_message(session: Session, access: AccessToken, refresh_token: str) -> customer_pb2.Session:
    """Return a session with its newest tokens."""
    return customer_pb2.Session(
        id=str(session.id),
        customer_id=str(session.customer_id),
        access_token=access.text,
        access_token_expire_time=_timestamp(access.expire_time),
        refresh_token=refresh_token,
        refresh_token_expire_time=_timestamp(session.expire_time),
    )


def json_web_key(key: PublicKey) -> GetJsonWebKeySetResponse.JsonWebKey:
    """Return a public key as RFC 7517 names its parts."""
    return GetJsonWebKeySetResponse.JsonWebKey(
        kid=key.kid, kty="EC", crv="P-256", alg="ES256", use="sig", x=key.x, y=key.y
    )


def _timestamp(time: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(time)
    return message
