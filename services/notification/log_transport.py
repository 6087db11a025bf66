"""Where there is no mail server: a line in the log stands for each mail, without address and name."""

import logging

from services.notification.domain import Channel, Notification

logger = logging.getLogger(__name__)


class LogTransport:
    """Writes a line per notification. It needs no address, so identity is not asked for one."""

    channel = Channel.LOG

    async def send(self, notification: Notification) -> None:
        """Write the line."""
        known = {"notification_id": str(notification.id), "kind": notification.news.kind.value}
        if notification.news.order_id:
            known["order_id"] = str(notification.news.order_id)
        logger.info("notification sent", extra={"fields": {"service": "notification", **known}})
