"""How applications read and write memory: identities, and finding memories again."""

from .identity import NewTenant, NewUser, as_sql, check_owner, create_tenant, create_user, tenant_of
from .search import Hit, like, search

__all__ = [
    "Hit",
    "NewTenant",
    "NewUser",
    "as_sql",
    "check_owner",
    "create_tenant",
    "create_user",
    "like",
    "search",
    "tenant_of",
]
