"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "node_instances",
        sa.Column("sop_instance_uid", sa.Text, primary_key=True),
        sa.Column("series_instance_uid", sa.Text, nullable=False, index=True),
        sa.Column("study_instance_uid", sa.Text, nullable=False, index=True),
        sa.Column("sop_class_uid", sa.Text, nullable=False),
        sa.Column("transfer_syntax_uid", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("file", sa.Text, nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
        sa.Column("length", sa.BigInteger, nullable=False),
        sa.Column("received_at", sa.Float, nullable=False),
    )
    op.create_table(
        "node_conflicts",
        sa.Column("sop_instance_uid", sa.Text, primary_key=True),
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("series_instance_uid", sa.Text, nullable=False),
        sa.Column("study_instance_uid", sa.Text, nullable=False, index=True),
        sa.Column("file", sa.Text, nullable=False),
        sa.Column("received_at", sa.Float, nullable=False),
    )
    op.create_table(
        "node_refusals",
        sa.Column("calling", sa.Text, primary_key=True),
        sa.Column("status", sa.Integer, primary_key=True),
        sa.Column("comment", sa.Text, primary_key=True),
        sa.Column("times", sa.Integer, nullable=False),
        sa.Column("last_at", sa.Float, nullable=False),
    )
    op.create_table(
        "node_series",
        sa.Column("study_instance_uid", sa.Text, primary_key=True),
        sa.Column("series_instance_uid", sa.Text, primary_key=True),
        sa.Column("calling", sa.Text, nullable=False),
        sa.Column("instances", sa.Integer, nullable=False),
        sa.Column("last_seen", sa.Float, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("is_complete", sa.Boolean, nullable=False),
        sa.Column("rule", sa.Text),
    )
    op.create_table(
        "node_feeding",
        sa.Column("association", sa.Text, primary_key=True),
        sa.Column("study_instance_uid", sa.Text, nullable=False),
        sa.Column("series_instance_uid", sa.Text, nullable=False, index=True),
        sa.Column("broken_at", sa.Float),
    )
    op.create_table(
        "node_studies",
        sa.Column("study_instance_uid", sa.Text, primary_key=True),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("closed", sa.Integer, nullable=False),
        sa.Column("first_seen", sa.Float, nullable=False),
        sa.Column("failure", sa.Text),
    )
    op.create_table(
        "node_answers",
        sa.Column("study_instance_uid", sa.Text, primary_key=True),
        sa.Column("series_instance_uid", sa.Text, primary_key=True),
        sa.Column("volume", sa.Integer, primary_key=True),
        sa.Column("package", sa.Text, primary_key=True),
        sa.Column("answer", sa.Text, nullable=False),
    )
    op.create_table(
        "node_results",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("study_instance_uid", sa.Text, nullable=False, index=True),
        sa.Column("series_instance_uid", sa.Text, nullable=False),
        sa.Column("volume", sa.Integer, nullable=False),
        sa.Column("package", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("predecessor", sa.Text),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("findings", sa.Integer),
        sa.Column("kept", sa.Text, nullable=False),
        sa.Column("made_at", sa.Float, nullable=False),
    )
    op.create_table(
        "node_deliveries",
        sa.Column("result_key", sa.Text, primary_key=True),
        sa.Column("destination", sa.Text, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("sop_class_uid", sa.Text, nullable=False),
        sa.Column("sop_instance_uid", sa.Text, nullable=False),
        sa.Column("series_instance_uid", sa.Text, nullable=False),
        sa.Column("file", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("error", sa.Text),
    )
