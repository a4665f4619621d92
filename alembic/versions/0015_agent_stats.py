"""Agent statistics: what each agent has done, what it cost, and how it went.

Serves: one agent's numbers, and a table of all agents of a tenant.
Cost: a view only. Each agent looks into sessions and activities by their indexes.
Refused: joining sessions and activities and then adding up (each session more multiplies the cost of all activities).
"""

from __future__ import annotations

from alembic import op

revision = "0015_agent_stats"
down_revision = "0014_retention"
branch_labels = None
depends_on = None
level = "reversible"

AGENT_STATS = """
CREATE VIEW memstore.agent_stats WITH (security_invoker = true) AS
SELECT a.tenant_id, a.id AS agent_id, a.name,
       s.total_sessions, s.active_sessions,
       v.total_activities, v.successful_activities, v.failed_activities, v.avg_duration_ms, v.total_cost,
       v.last_activity_at
FROM memstore.agents AS a
CROSS JOIN LATERAL (
    SELECT count(*) AS total_sessions, count(*) FILTER (WHERE status = 'active') AS active_sessions
    FROM memstore.sessions WHERE tenant_id = a.tenant_id AND agent_id = a.id
) AS s
CROSS JOIN LATERAL (
    SELECT count(*) AS total_activities,
           count(*) FILTER (WHERE status = 'success') AS successful_activities,
           count(*) FILTER (WHERE status = 'failure') AS failed_activities,
           coalesce(avg(duration_ms), 0)::double precision AS avg_duration_ms,
           coalesce(sum(cost), 0) AS total_cost,
           max(created_at) AS last_activity_at
    FROM memstore.activities WHERE tenant_id = a.tenant_id AND agent_id = a.id
) AS v
"""


def upgrade() -> None:
    op.execute(AGENT_STATS)
    op.execute(
        "COMMENT ON VIEW memstore.agent_stats IS "
        "'what each agent has done; zeros, and no last_activity_at, where it has done nothing'"
    )


def downgrade() -> None:
    op.execute("DROP VIEW memstore.agent_stats")
