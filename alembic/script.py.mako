"""${message}.

Serves: (the query or rule that this change is for.)
Cost: (how long it takes and what it locks, measured, on how many rows.)
Refused: (what else was thought of, and why not.)
"""

# A revision that was released is frozen. It imports no model and reads no setting: both will have moved on by the time
# somebody runs it. `op.embedding_dim()` tells the width of embeddings in the database at hand.
#
# On a live database:
# - one statement for each op.execute: asyncpg takes no more;
# - an index on a table with rows is built CONCURRENTLY, in `with op.get_context().autocommit_block():`;
# - NOT NULL and foreign keys on a table with rows are added NOT VALID first and validated after;
# - a tenant-owned table has tenant_id, the key (tenant_id, id), composite foreign keys, a CHECK for each range, and
#   `op.enable_tenant_isolation(table)`; one with updated_at has the trigger `touch`;
# - the width of embeddings is never changed in place;
# - downgrade() undoes upgrade(), and tests/migrations/revisions/ has a file for this revision.

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
