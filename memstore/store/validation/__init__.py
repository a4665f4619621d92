"""What is checked before any store is asked, so that the same input gets the same answer from each of them."""

from .conditions import as_plain, checked_filters
from .memories import checked_change, checked_memory, is_possible_id, no_text, possible_ids
from .questions import MAX_LIMIT, Question, checked_limit, checked_order, checked_question, checked_version
from .scopes import Scope, checked_scope

__all__ = [
    "MAX_LIMIT",
    "Question",
    "Scope",
    "as_plain",
    "checked_change",
    "checked_filters",
    "checked_limit",
    "checked_memory",
    "checked_order",
    "checked_question",
    "checked_scope",
    "checked_version",
    "is_possible_id",
    "no_text",
    "possible_ids",
]
