"""Proof of delivery, priorities, retention, actions; indexes that keep the cost of a question the same however much is known."""

import hashlib
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table, added in _COLUMNS.items():
        for column in added:
            op.add_column(table, column)
    op.create_table(
        "node_boots",
        sa.Column("boot", sa.Text, primary_key=True),
        sa.Column("began_at", sa.Float, nullable=False),
        sa.Column("clock_ahead_s", sa.Float),
    )
    op.create_table(
        "node_commitments",
        sa.Column("transaction_uid", sa.Text, primary_key=True),
        sa.Column("result_key", sa.Text, nullable=False),
        sa.Column("destination", sa.Text, nullable=False),
        sa.Column("asked_at", sa.Float, nullable=False),
        sa.Column("answered_at", sa.Float),
    )
    op.create_table(
        "node_actions",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False, index=True),
        sa.Column("amount", sa.BigInteger),
    )
    op.drop_index("ix_node_instances_series_instance_uid", "node_instances")
    op.drop_index("ix_node_instances_study_instance_uid", "node_instances")
    for name, table, columns, where in _INDEXES:
        some = sa.text(where) if where else None
        op.create_index(name, table, columns, sqlite_where=some, postgresql_where=some)
    op.execute("update node_answers set reason = 'OutOfService' where answer like '%OutOfService%'")
    op.execute("update node_deliveries set proof = 'none' where state = 'sent'")  # nobody was asked to confirm them
    op.execute(_SETTLE)
    _write_keys()


def _write_keys() -> None:
    """Under which log lines name the studies that are there."""
    connection = op.get_bind()
    for (uid,) in connection.execute(sa.text("select study_instance_uid from node_studies")).all():
        written = sa.text("update node_studies set key = :key where study_instance_uid = :uid")
        connection.execute(written, {"key": hashlib.sha256(uid.encode()).hexdigest()[:16], "uid": uid})


# What the version before had finished with is done.
_SETTLE = """
update node_studies set done_at = first_seen
where closed >= generation and generation > 0 and failure is null
and not exists (select 1 from node_series s where s.study_instance_uid = node_studies.study_instance_uid and not s.is_complete)
and not exists (
    select 1 from node_results r join node_deliveries d on d.result_key = r.key
    where r.study_instance_uid = node_studies.study_instance_uid and d.state <> 'sent'
)
and not exists (select 1 from node_answers a where a.study_instance_uid = node_studies.study_instance_uid and a.reason = 'OutOfService')
"""

_COLUMNS: dict[str, tuple[sa.Column[Any], ...]] = {
    "node_instances": (sa.Column("removing_at", sa.Float), sa.Column("removed_at", sa.Float)),
    "node_series": (sa.Column("store_priority", sa.Text),),
    "node_studies": (
        sa.Column("key", sa.Text),
        sa.Column("priority", sa.Integer, nullable=False, server_default="20"),
        sa.Column("done_at", sa.Float),
        sa.Column("images_removed_at", sa.Float),
        sa.Column("results_removed_at", sa.Float),
    ),
    "node_answers": (sa.Column("reason", sa.Text),),
    "node_deliveries": (
        sa.Column("proof", sa.Text),
        sa.Column("sent_at", sa.Float),
        sa.Column("confirmed_at", sa.Float),
        sa.Column("next_try_at", sa.Float),
        sa.Column("lost", sa.Integer, nullable=False, server_default="0"),
        sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
    ),
}

_INDEXES = (
    ("node_instances_of_series", "node_instances", ["study_instance_uid", "series_instance_uid"], ""),
    ("node_series_open", "node_series", ["last_seen"], "NOT is_complete"),
    ("ix_node_studies_key", "node_studies", ["key"], ""),
    ("ix_node_studies_first_seen", "node_studies", ["first_seen"], ""),
    ("node_studies_unfinished", "node_studies", ["first_seen"], "closed < generation"),
    ("node_studies_undone", "node_studies", ["first_seen"], "done_at IS NULL"),
    ("node_studies_with_images", "node_studies", ["done_at"], "done_at IS NOT NULL AND images_removed_at IS NULL"),
    ("node_studies_failed", "node_studies", ["first_seen"], "failure IS NOT NULL"),
    ("node_studies_without_images", "node_studies", ["done_at"], "images_removed_at IS NOT NULL"),
    ("node_studies_with_results", "node_studies", ["done_at"], "images_removed_at IS NOT NULL AND results_removed_at IS NULL"),
    ("node_answers_out_of_service", "node_answers", ["package"], "reason = 'OutOfService'"),
    ("ix_node_results_kept", "node_results", ["kept"], ""),
    ("ix_node_deliveries_file", "node_deliveries", ["file"], ""),
    ("node_deliveries_unsettled", "node_deliveries", ["state"], "state IN ('queued', 'sent') AND (state = 'queued' OR proof IS NULL)"),
    ("node_deliveries_dead", "node_deliveries", ["state"], "state IN ('refused', 'given-up')"),
    ("node_deliveries_unconfirmed", "node_deliveries", ["proof"], "proof = 'missing'"),
    ("node_commitments_of_result", "node_commitments", ["result_key", "destination"], ""),
)
