"""Identity's methods: read the request, call the domain, build the response."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from meshmart.identity.v1 import identity_service_pb2_grpc
from meshmart.identity.v1.customer_pb2 import Session as SessionMessage
from meshmart.identity.v1.identity_service_pb2 import (
    CreateSessionRequest,
    CreateSessionResponse,
    GetContactRequest,
    GetContactResponse,
    GetCustomerRequest,
    GetCustomerResponse,
    GetJsonWebKeySetRequest,
    GetJsonWebKeySetResponse,
    RefreshSessionRequest,
    RefreshSessionResponse,
    RegisterCustomerRequest,
    RegisterCustomerResponse,
)

from services.chassis import idempotency
from services.chassis.call import current_call, current_principal
from services.chassis.ids import new_id
from services.chassis.outbox import Outbox
from services.identity import domain
from services.identity.domain import Passwords, Session
from services.identity.keys import SigningKeyring, Vault
from services.identity.messages import customer_message, customer_registered, json_web_key, session_message
from services.identity.store import Store
from services.identity.tokens import new_access_token, new_refresh_token, refresh_token_hash


class IdentityApi(identity_service_pb2_grpc.IdentityServiceServicer):
    """Registers customers, signs them in and publishes the keys that verify their tokens."""

    def __init__(
        self, store: Store, passwords: Passwords, vault: Vault, keyring: SigningKeyring, outbox: Outbox
    ) -> None:
        """Take the collaborators."""
        self._store = store
        self._vault = vault
        self._passwords = passwords
        self._keyring = keyring
        self._outbox = outbox

    async def RegisterCustomer(self, request: RegisterCustomerRequest, context: Any) -> RegisterCustomerResponse:
        """Register a customer."""
        self._fingerprint(request)
        customer = domain.new_customer(new_id(), request.email, request.display_name, datetime.now(UTC))
        password_hash = await self._passwords.hash(request.password)
        reply = RegisterCustomerResponse(customer=customer_message(customer))
        event = self._outbox.parameters(customer_registered(customer), customer.id)
        await self._store.add_customer(customer, password_hash, idempotency.parameters(reply) | event)
        self._outbox.wake()
        return reply

    async def GetCustomer(self, request: GetCustomerRequest, context: Any) -> GetCustomerResponse:
        """Return the caller's own record."""
        caller_id = UUID(current_principal().subject)
        customer = await domain.get_customer(self._store, caller_id, UUID(request.customer_id))
        return GetCustomerResponse(customer=customer_message(customer))

    async def GetContact(self, request: GetContactRequest, context: Any) -> GetContactResponse:
        """Return how to reach a customer."""
        contact = await domain.get_contact(self._store, UUID(request.customer_id))
        return GetContactResponse(email=contact.email, display_name=contact.display_name)

    async def CreateSession(self, request: CreateSessionRequest, context: Any) -> CreateSessionResponse:
        """Sign a customer in."""
        account = await domain.sign_in(self._store, self._passwords, request.email, request.password)
        refresh_token = new_refresh_token()
        session = await self._store.open_session(new_id(), account, refresh_token_hash(refresh_token))
        return CreateSessionResponse(session=self._session_message(session, refresh_token))

    async def RefreshSession(self, request: RefreshSessionRequest, context: Any) -> RefreshSessionResponse:
        """Exchange a refresh token for new tokens."""
        refresh_token = new_refresh_token()
        spent_hash, new_hash = refresh_token_hash(request.refresh_token), refresh_token_hash(refresh_token)
        session = await domain.refresh(self._store, spent_hash, new_hash)
        return RefreshSessionResponse(session=self._session_message(session, refresh_token))

    async def GetJsonWebKeySet(self, request: GetJsonWebKeySetRequest, context: Any) -> GetJsonWebKeySetResponse:
        """Return the public keys."""
        keys = await self._store.list_public_keys()
        return GetJsonWebKeySetResponse(keys=[json_web_key(key) for key in keys])

    def _fingerprint(self, request: RegisterCustomerRequest) -> None:
        """Tell repeats by the whole request: the chassis's own hash leaves out address, name and password."""
        call = current_call()
        if call is not None:
            call.request_hash = self._vault.fingerprint(request.SerializeToString(deterministic=True))

    def _session_message(self, session: Session, refresh_token: str) -> SessionMessage:
        access = new_access_token(self._keyring.active, session, datetime.now(UTC))
        return session_message(session, access, refresh_token)
