"""By what an earlier study of the same patient is found: digests that only the site can make, and the day of the study."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_COLUMNS = ("patient_digest", "birth_digest", "family_digest", "study_date", "prior")


def upgrade() -> None:
    for name in _COLUMNS:
        op.add_column("node_results", sa.Column(name, sa.Text))
    op.create_index("node_results_of_patient", "node_results", ["patient_digest", "package", "study_date"])
