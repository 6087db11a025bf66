"""The notification service's declaration: settings in, objects built."""

import asyncio
from typing import Final, Literal, cast

from meshmart.identity.v1.identity_service_pb2_grpc import IdentityServiceStub
from meshmart.notification.v1.notification_service_pb2_grpc import add_NotificationServiceServicer_to_server
from pydantic import Field, PositiveInt, SecretStr, field_validator

from services.chassis.changes import Changes
from services.chassis.runtime import Runtime
from services.chassis.service import Components, Service, Servicer, Task
from services.chassis.settings import ServiceSettings, prefix
from services.notification.api import NotificationApi
from services.notification.consumers import NotificationConsumers
from services.notification.domain import Transport
from services.notification.log_transport import LogTransport
from services.notification.mail import Mails, sender_of
from services.notification.neighbours import IdentityContacts
from services.notification.pending import Pending
from services.notification.preferences import PreferencesStore
from services.notification.recorder import Recorder
from services.notification.sender import Sender
from services.notification.store import NotificationStore
from services.notification.tokens import Unsubscribing
from services.notification.watch import NotificationWatch

SECRET_MIN_LENGTH: Final = 32
CLAIM: Final = 180.0
"""Seconds after which another process sends what one has claimed and not settled."""
FORGET_INTERVAL: Final = 3600.0
FORGET_BATCH: Final = 1000


class NotificationSettings(ServiceSettings):
    """What the notification service needs besides."""

    model_config = prefix("notification")

    unsubscribe_secret: SecretStr = Field(description="Signs the tokens that turn mails off; 32 characters.")
    public_url: str = Field("http://127.0.0.1:8080", description="Where customers find the edge, for links in mails.")
    mail_from: str = Field("meshmart <shop@meshmart.example>", description="Who sends the mails.")
    smtp_host: str = Field("", description="Mail server to send by. Without one, log lines stand for mails.")
    smtp_port: PositiveInt = Field(587, description="Its port.")
    smtp_security: Literal["starttls", "tls", "none"] = Field("starttls", description="How its connection is secured.")
    smtp_user: str = Field("", description="User at the mail server; nobody signs in without one.")
    smtp_password: SecretStr = Field(SecretStr(""), description="The user's password.")
    smtp_ca_file: str = Field("", description="Certificates to trust instead of the system's.")
    send_at_once: PositiveInt = Field(8, description="Notifications sent at once.")
    poll_interval: float = Field(1.0, gt=0, description="Seconds between two looks for what others left to be sent.")

    @field_validator("unsubscribe_secret")
    @classmethod
    def _long_enough(cls, secret: SecretStr) -> SecretStr:
        if len(secret.get_secret_value()) < SECRET_MIN_LENGTH:
            raise ValueError(f"at least {SECRET_MIN_LENGTH} characters")
        return secret

    @field_validator("mail_from")
    @classmethod
    def _an_address(cls, mail_from: str) -> str:
        try:
            sender_of(mail_from)
        except ValueError:
            raise ValueError("name <address>") from None
        return mail_from


def build(runtime: Runtime) -> Components:
    """Build the service."""
    settings = cast("NotificationSettings", runtime.settings)
    unsubscribing = Unsubscribing(settings.unsubscribe_secret.get_secret_value())
    transport = _transport(runtime, settings, unsubscribing)
    store, changes = NotificationStore(runtime.database, transport.channel), Changes()
    sender = Sender(
        Pending(runtime.database, lease=CLAIM),
        transport,
        outbox=runtime.outbox,
        changes=changes,
        metrics=runtime.metrics,
        tracing=runtime.tracing,
        at_once=settings.send_at_once,
        poll_interval=settings.poll_interval,
    )
    watch = NotificationWatch(store, changes, runtime.draining)
    api = NotificationApi(store, PreferencesStore(runtime.database), watch, unsubscribing)

    async def forget() -> None:
        while True:
            await asyncio.sleep(FORGET_INTERVAL)
            while await store.forget(FORGET_BATCH):
                pass

    return Components(
        servicers=(Servicer(add_NotificationServiceServicer_to_server, api),),
        consumers=NotificationConsumers(Recorder(store, sender, changes)).all(),
        tasks=(Task("sender", sender.run), Task("forget", forget)),
    )


def _transport(runtime: Runtime, settings: NotificationSettings, unsubscribing: Unsubscribing) -> Transport:
    if not settings.smtp_host:
        return LogTransport()
    from services.notification.rendering import Renderer  # noqa: PLC0415  # not needed where no mail is sent
    from services.notification.smtp_transport import MailServer, SmtpTransport  # noqa: PLC0415  # likewise

    server = MailServer(
        settings.smtp_host,
        settings.smtp_port,
        settings.smtp_security,
        settings.smtp_user,
        settings.smtp_password.get_secret_value(),
        settings.smtp_ca_file,
    )
    contacts = IdentityContacts(runtime.stub(IdentityServiceStub))
    mails = Mails(sender_of(settings.mail_from), settings.public_url, unsubscribing)
    return SmtpTransport(server, contacts, mails, Renderer())


SERVICE = Service(name="notification", index=5, settings=NotificationSettings, build=build, neighbours=("identity",))
