"""The domain as messages of the contract, and back."""

from typing import Final
from uuid import UUID

from meshmart.notification.v1 import notification_pb2 as pb
from meshmart.notification.v1.notification_events_pb2 import NotificationSent

from services.chassis.messages import money, now, timestamp
from services.notification.domain import Channel, Kind, Notification, Preferences, State

KINDS: Final = {kind: pb.Notification.Kind.Value(f"KIND_{kind}") for kind in Kind}
_KINDS_BACK: Final = {value: kind for kind, value in KINDS.items()}
CHANNELS: Final = {channel: pb.Notification.Channel.Value(f"CHANNEL_{channel}") for channel in Channel}
STATES: Final = {state: pb.Notification.State.Value(f"STATE_{state}") for state in State}
_STATES_BACK: Final = {value: state for state, value in STATES.items()}


def notification(known: Notification) -> pb.Notification:
    """Return a notification as the contract shows it."""
    news = known.news
    return pb.Notification(
        id=str(known.id),
        customer_id=str(news.customer_id),
        kind=KINDS[news.kind],
        order_id=str(news.order_id or ""),
        amount=money(news.amount) if news.amount else None,
        reason=news.reason,
        channel=CHANNELS[known.channel],
        state=STATES[known.state],
        failure_reason=known.failure_reason,
        create_time=timestamp(known.create_time),
        send_time=timestamp(known.send_time) if known.send_time else None,
    )


def notification_sent(sent: Notification) -> NotificationSent:
    """Return the event of a notification that was just sent."""
    return NotificationSent(
        notification_id=str(sent.id),
        customer_id=str(sent.news.customer_id),
        kind=KINDS[sent.news.kind],
        channel=CHANNELS[sent.channel],
        order_id=str(sent.news.order_id or ""),
        send_time=now(),
    )


def preferences(known: Preferences) -> pb.Preferences:
    """Return preferences as the contract shows them."""
    return pb.Preferences(
        customer_id=str(known.customer_id),
        mail_enabled=known.mail_enabled,
        muted_kinds=sorted(KINDS[kind] for kind in known.muted_kinds),
        etag=known.etag,
        update_time=timestamp(known.update_time) if known.update_time else None,
    )


def preferences_of(told: pb.Preferences, customer_id: UUID) -> Preferences:
    """Return what a customer says of their preferences."""
    return Preferences(customer_id, told.mail_enabled, frozenset(_KINDS_BACK[kind] for kind in told.muted_kinds))


def kind_of(value: "pb.Notification.Kind.ValueType") -> Kind | None:
    """Return the kind of a request; None for UNSPECIFIED."""
    return _KINDS_BACK.get(value)


def state_of(value: "pb.Notification.State.ValueType") -> State | None:
    """Return the state of a request; None for UNSPECIFIED."""
    return _STATES_BACK.get(value)
