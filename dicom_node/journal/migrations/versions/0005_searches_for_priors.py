"""Searches for priors at a PACS, and the series that came from there."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "node_searches",
        sa.Column("study_instance_uid", sa.Text, primary_key=True),
        sa.Column("series_instance_uid", sa.Text, primary_key=True),
        sa.Column("began_at", sa.Float, nullable=False),
        sa.Column("ended", sa.Text),
        sa.Column("peer", sa.Text),
        sa.Column("prior", sa.Text),
        sa.Column("error", sa.Text),
    )
    op.create_table(
        "node_fetched",
        sa.Column("study_instance_uid", sa.Text, primary_key=True),
        sa.Column("series_instance_uid", sa.Text, primary_key=True),
        sa.Column("is_said", sa.Boolean),
    )
