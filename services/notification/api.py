"""The notification service's calls: read the request, call the domain, build the response."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from meshmart.notification.v1 import notification_service_pb2 as pb
from meshmart.notification.v1.notification_service_pb2_grpc import NotificationServiceServicer

from services.chassis import idempotency, pages
from services.chassis.call import current_call, current_principal
from services.notification import domain, messages
from services.notification.preferences import PreferencesStore
from services.notification.store import NotificationStore
from services.notification.tokens import Unsubscribing
from services.notification.watch import NotificationWatch

LAST_ID = UUID(int=(1 << 128) - 1)


class NotificationApi(NotificationServiceServicer):
    """Serves `meshmart.notification.v1.NotificationService`."""

    def __init__(
        self,
        store: NotificationStore,
        preferences: PreferencesStore,
        watch: NotificationWatch,
        unsubscribing: Unsubscribing,
    ) -> None:
        """Keep the collaborators."""
        self._store = store
        self._preferences = preferences
        self._watch = watch
        self._unsubscribing = unsubscribing

    async def ListNotifications(
        self, request: pb.ListNotificationsRequest, context: Any
    ) -> pb.ListNotificationsResponse:
        """List the caller's notifications."""
        page = pages.read(request, "ListNotifications")
        shown, token = await self._page(page, {"customer_id": _caller()})
        return pb.ListNotificationsResponse(notifications=map(messages.notification, shown), next_page_token=token)

    async def WatchNotifications(
        self, request: pb.WatchNotificationsRequest, context: Any
    ) -> AsyncIterator[pb.WatchNotificationsResponse]:
        """Stream the caller's notifications as they come and change."""
        call = current_call()
        until = call.deadline if call else float("inf")
        async for message in self._watch.watch(_caller(), request.resume_token, until):
            yield message

    async def SearchNotifications(
        self, request: pb.SearchNotificationsRequest, context: Any
    ) -> pb.SearchNotificationsResponse:
        """Find notifications of all customers."""
        filters = _filters(request)
        page = pages.read(request, " ".join(("SearchNotifications", *map(str, filters.values()))))
        shown, token = await self._page(page, filters)
        return pb.SearchNotificationsResponse(notifications=map(messages.notification, shown), next_page_token=token)

    async def GetPreferences(self, request: pb.GetPreferencesRequest, context: Any) -> pb.GetPreferencesResponse:
        """Return the caller's preferences."""
        return pb.GetPreferencesResponse(preferences=messages.preferences(await self._preferences.of(_caller())))

    async def UpdatePreferences(
        self, request: pb.UpdatePreferencesRequest, context: Any
    ) -> pb.UpdatePreferencesResponse:
        """Change those of the caller's preferences that the mask names."""
        told, paths = messages.preferences_of(request.preferences, _caller()), list(request.update_mask.paths)
        changed = await self._preferences.change(
            told.customer_id,
            lambda known: domain.revised(known, told, paths, request.preferences.etag, datetime.now(UTC)),
            lambda preferences: idempotency.parameters(_updated(preferences)),
        )
        return _updated(changed)

    async def Unsubscribe(self, request: pb.UnsubscribeRequest, context: Any) -> pb.UnsubscribeResponse:
        """Turn off the mails to whom the token names."""
        await self._preferences.unsubscribe(self._unsubscribing.customer(request.token))
        return pb.UnsubscribeResponse()

    async def _page(self, page: pages.Page, filters: dict[str, Any]) -> tuple[Any, str]:
        before = pages.id_after(page) or LAST_ID
        found = await self._store.search(filters, before, page.size + 1)
        return pages.cut(page, found, lambda notification: [str(notification.id)])


def _caller() -> UUID:
    return UUID(current_principal().subject)


def _filters(request: pb.SearchNotificationsRequest) -> dict[str, Any]:
    """Return the columns that a search is by."""
    filters: dict[str, Any] = {}
    if request.customer_id:
        filters["customer_id"] = UUID(request.customer_id)
    if kind := messages.kind_of(request.kind):
        filters["kind"] = kind.value
    if state := messages.state_of(request.state):
        filters["state"] = state.value
    return filters


def _updated(preferences: domain.Preferences) -> pb.UpdatePreferencesResponse:
    return pb.UpdatePreferencesResponse(preferences=messages.preferences(preferences))
