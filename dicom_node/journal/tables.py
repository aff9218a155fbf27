"""The journal's tables: an index of the spool, and the durable state of work. Keys, states and numbers; no patient value.

UIDs are here, since the PACS is asked by them; names, IDs, dates and descriptions are in the spool's files alone. The engine's
own tables (`workflow_status` and others) lie beside these, so that a row and its job are committed together.
"""

import sqlalchemy as sa

metadata = sa.MetaData()

# One row per SOP instance that was acknowledged. `received_at` is for people; nothing is decided by it.
instances = sa.Table(
    "node_instances",
    metadata,
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

# Other bytes that came under a known SOP Instance UID: kept, never analysed, shown.
conflicts = sa.Table(
    "node_conflicts",
    metadata,
    sa.Column("sop_instance_uid", sa.Text, primary_key=True),
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("series_instance_uid", sa.Text, nullable=False),
    sa.Column("study_instance_uid", sa.Text, nullable=False, index=True),
    sa.Column("file", sa.Text, nullable=False),
    sa.Column("received_at", sa.Float, nullable=False),
)

# Instances that could not be filed, by status and comment of our answer.
refusals = sa.Table(
    "node_refusals",
    metadata,
    sa.Column("calling", sa.Text, primary_key=True),
    sa.Column("status", sa.Integer, primary_key=True),
    sa.Column("comment", sa.Text, primary_key=True),
    sa.Column("times", sa.Integer, nullable=False),
    sa.Column("last_at", sa.Float, nullable=False),
)

# A series of a study, open or complete: a Series Instance UID that two studies share is two series here. `generation` counts how
# often late images reopened it.
series = sa.Table(
    "node_series",
    metadata,
    sa.Column("study_instance_uid", sa.Text, primary_key=True),
    sa.Column("series_instance_uid", sa.Text, primary_key=True),
    sa.Column("calling", sa.Text, nullable=False),
    sa.Column("instances", sa.Integer, nullable=False),
    sa.Column("last_seen", sa.Float, nullable=False),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("is_complete", sa.Boolean, nullable=False),
    sa.Column("rule", sa.Text),
)

# Which series an open association feeds: the one that it sent last. Or when it broke off, until another one feeds the series.
feeding = sa.Table(
    "node_feeding",
    metadata,
    sa.Column("association", sa.Text, primary_key=True),
    sa.Column("study_instance_uid", sa.Text, nullable=False),
    sa.Column("series_instance_uid", sa.Text, nullable=False, index=True),
    sa.Column("broken_at", sa.Float),
)

# A study is judged anew whenever a series of it became complete; `closed` is the last generation that was finished.
studies = sa.Table(
    "node_studies",
    metadata,
    sa.Column("study_instance_uid", sa.Text, primary_key=True),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("closed", sa.Integer, nullable=False),
    sa.Column("first_seen", sa.Float, nullable=False),
    sa.Column("failure", sa.Text),
)

# What each package said to each volume, in the study's last judgement. `answer` is a value as the codec writes it.
answers = sa.Table(
    "node_answers",
    metadata,
    sa.Column("study_instance_uid", sa.Text, primary_key=True),
    sa.Column("series_instance_uid", sa.Text, primary_key=True),
    sa.Column("volume", sa.Integer, primary_key=True),
    sa.Column("package", sa.Text, primary_key=True),
    sa.Column("answer", sa.Text, nullable=False),
)

# One row per result key: the guard against doing the same work twice. `result` is the kept value's name.
results = sa.Table(
    "node_results",
    metadata,
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

# One row per object and destination.
deliveries = sa.Table(
    "node_deliveries",
    metadata,
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
