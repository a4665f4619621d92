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
# - an index on a table in use is built by op.create_index_concurrently, changed by op.swap_index_concurrently;
# - NOT NULL, foreign keys, CHECKs and UNIQUE on one come by op.set_not_null_safely, op.add_foreign_key_safely, ...;
# - these commit, and can be run again after a kill: in one revision nothing else comes before them, and what is better
#   done before goes into a revision before; `memstore db revision --autogenerate` writes them so;
# - rows are changed by op.backfill, functions, views, triggers and policies by op.replace_function, ...;
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
# reversible: no row is lost on the way down. reversible_with_archive: downgrade() has op.archive_table or
# op.archive_column before each drop, upgrade() ends with op.restore_table or op.restore_column. irreversible: there is
# no way back, and irreversible_because = "..." says why.
level = ${repr("reversible_with_archive" if "op.archive_" in (upgrades or "") + (downgrades or "") else "reversible")}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
