"""Where a page of memories ends: what the next one begins after."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime
from typing import NamedTuple

from ..errors import SettingsError
from .checks import is_storable
from .results import Order


class Cursor(NamedTuple):
    """The last memory of a page. Keys, not a count: what is added or deleted meanwhile shifts no page."""

    order: Order
    created_at: datetime
    id: str

    def encoded(self) -> str:
        """Return it as `Page.next`; what is in it is nobody's business but this module's."""
        text = json.dumps([self.order.value, self.created_at.isoformat(), self.id], ensure_ascii=False)
        return urlsafe_b64encode(text.encode()).decode()

    @classmethod
    def decoded(cls, text: str, order: Order) -> Cursor:
        """Return the cursor that a text holds.

        Raises:
            SettingsError: it is not from a page of that order.
        """
        try:
            named, moment, memory_id = json.loads(urlsafe_b64decode(text.encode()))
            cursor = cls(Order(named), datetime.fromisoformat(moment), memory_id)
            is_sound = cursor.created_at.tzinfo is not None and is_storable(memory_id)
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise _foreign(order) from error
        if not is_sound or cursor.order is not order:
            raise _foreign(order)
        return cursor


def _foreign(order: Order) -> SettingsError:
    return SettingsError(
        f"`after` is not from a page of the order {order.value}. Pass the `next` of the page before, or None to begin"
    )
