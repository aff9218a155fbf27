"""What a destination does not accept, and what it gets instead."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("node_deliveries", sa.Column("instead_of", sa.Text))
    op.create_table(
        "node_refused_classes",
        sa.Column("destination", sa.Text, primary_key=True),
        sa.Column("sop_class_uid", sa.Text, primary_key=True),
        sa.Column("status", sa.Integer),
        sa.Column("at", sa.Float, nullable=False),
    )
