"""The journal's tables: an index of the spool, and the durable state of work. Keys, states and numbers; no patient value.

UIDs are here, since the PACS is asked by them; names, IDs, birth dates and descriptions are in the spool's files alone. The engine's
own tables (`workflow_status` and others) lie beside these, so that a row and its job are committed together.
"""

import sqlalchemy as sa

metadata = sa.MetaData()

# One row per SOP instance that was acknowledged. `received_at` is for people; nothing is decided by it. Retention decides
# (`removing_at`), removes the file, and notes that (`removed_at`); the row stays until the records of its study go.
instances = sa.Table(
    "node_instances",
    metadata,
    sa.Column("sop_instance_uid", sa.Text, primary_key=True),
    sa.Column("series_instance_uid", sa.Text, nullable=False),
    sa.Column("study_instance_uid", sa.Text, nullable=False),
    sa.Column("sop_class_uid", sa.Text, nullable=False),
    sa.Column("transfer_syntax_uid", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("file", sa.Text, nullable=False),
    sa.Column("offset", sa.BigInteger, nullable=False),
    sa.Column("length", sa.BigInteger, nullable=False),
    sa.Column("received_at", sa.Float, nullable=False),
    sa.Column("removing_at", sa.Float),
    sa.Column("removed_at", sa.Float),
)
sa.Index("node_instances_of_series", instances.c.study_instance_uid, instances.c.series_instance_uid)

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
# often late images reopened it. `store_priority` is the most urgent C-STORE Priority (0000,0700) of its instances.
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
    sa.Column("store_priority", sa.Text),
)
sa.Index("node_series_open", series.c.last_seen, sqlite_where=sa.not_(series.c.is_complete), postgresql_where=sa.not_(series.c.is_complete))

# Which series an open association feeds: the one that it sent last. Or when it broke off, until another one feeds the series.
feeding = sa.Table(
    "node_feeding",
    metadata,
    sa.Column("association", sa.Text, primary_key=True),
    sa.Column("study_instance_uid", sa.Text, nullable=False),
    sa.Column("series_instance_uid", sa.Text, nullable=False, index=True),
    sa.Column("broken_at", sa.Float),
)

# A study is judged anew whenever a series of it became complete; `closed` is the last generation that was finished. `priority` is that
# of its jobs. `key` is what log lines have; absent where a program of the version before wrote the row. `done_at`: since when nothing
# of it is left to do; `images_removed_at`, `results_removed_at`: when retention removed its images, and what was kept of its results.
studies = sa.Table(
    "node_studies",
    metadata,
    sa.Column("study_instance_uid", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, index=True),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("closed", sa.Integer, nullable=False),
    sa.Column("first_seen", sa.Float, nullable=False, index=True),
    sa.Column("failure", sa.Text),
    sa.Column("priority", sa.Integer, nullable=False, server_default="20"),
    sa.Column("done_at", sa.Float),
    sa.Column("images_removed_at", sa.Float),
    sa.Column("results_removed_at", sa.Float),
)
_unfinished = studies.c.closed < studies.c.generation
_undone = studies.c.done_at.is_(None)
_images_here = sa.and_(studies.c.done_at.is_not(None), studies.c.images_removed_at.is_(None))
sa.Index("node_studies_unfinished", studies.c.first_seen, sqlite_where=_unfinished, postgresql_where=_unfinished)
sa.Index("node_studies_undone", studies.c.first_seen, sqlite_where=_undone, postgresql_where=_undone)
sa.Index("node_studies_with_images", studies.c.done_at, sqlite_where=_images_here, postgresql_where=_images_here)
_images_gone = studies.c.images_removed_at.is_not(None)
_results_here = sa.and_(_images_gone, studies.c.results_removed_at.is_(None))
sa.Index("node_studies_without_images", studies.c.done_at, sqlite_where=_images_gone, postgresql_where=_images_gone)
sa.Index("node_studies_with_results", studies.c.done_at, sqlite_where=_results_here, postgresql_where=_results_here)
_failed = studies.c.failure.is_not(None)
sa.Index("node_studies_failed", studies.c.first_seen, sqlite_where=_failed, postgresql_where=_failed)

# What each package said to each volume, in the study's last judgement. `answer` is a value as the codec writes it, `reason` the class
# of its reason where it has one.
answers = sa.Table(
    "node_answers",
    metadata,
    sa.Column("study_instance_uid", sa.Text, primary_key=True),
    sa.Column("series_instance_uid", sa.Text, primary_key=True),
    sa.Column("volume", sa.Integer, primary_key=True),
    sa.Column("package", sa.Text, primary_key=True),
    sa.Column("answer", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
)
_out_of_service = answers.c.reason == "OutOfService"
sa.Index("node_answers_out_of_service", answers.c.package, sqlite_where=_out_of_service, postgresql_where=_out_of_service)

# One row per result key: the guard against doing the same work twice. `kept` is the kept value's name. An earlier study of the same
# patient is found by digests that only who has the site's secret can make (`values.PatientDigests`) and by the study's day; `prior` is
# the key of the result that this one was compared with.
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
    sa.Column("kept", sa.Text, nullable=False, index=True),
    sa.Column("made_at", sa.Float, nullable=False),
    sa.Column("patient_digest", sa.Text),
    sa.Column("birth_digest", sa.Text),
    sa.Column("family_digest", sa.Text),
    sa.Column("study_date", sa.Text),
    sa.Column("prior", sa.Text),
)
sa.Index("node_results_of_patient", results.c.patient_digest, results.c.package, results.c.study_date)

# One row per object and destination. `proof`: how it was confirmed that the destination holds it, or "none" where nobody asks, or
# "missing" where nobody asks any more. `lost`: how often the destination had acknowledged it and did not hold it. `failures`: how often
# it was answered with 0110, or failed in the node itself, since it was acknowledged or a person had it tried again. `instead_of`: in
# place of which kinds of objects it is sent (values of ObjectKind, with commas), since the destination does not take those.
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
    sa.Column("file", sa.Text, nullable=False, index=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("status", sa.Integer),
    sa.Column("error", sa.Text),
    sa.Column("proof", sa.Text),
    sa.Column("sent_at", sa.Float),
    sa.Column("confirmed_at", sa.Float),
    sa.Column("next_try_at", sa.Float),
    sa.Column("lost", sa.Integer, nullable=False, server_default="0"),
    sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
    sa.Column("instead_of", sa.Text),
)
# What is sent to a destination that is not asked for a proof stays "sent": it must not fill this index for ever.
_unsettled = sa.and_(deliveries.c.state.in_(("queued", "sent")), sa.or_(deliveries.c.state == "queued", deliveries.c.proof.is_(None)))
sa.Index("node_deliveries_unsettled", deliveries.c.state, sqlite_where=_unsettled, postgresql_where=_unsettled)
_unconfirmed = deliveries.c.proof == "missing"
sa.Index("node_deliveries_unconfirmed", deliveries.c.proof, sqlite_where=_unconfirmed, postgresql_where=_unconfirmed)
sa.Index(
    "node_deliveries_dead",
    deliveries.c.state,
    sqlite_where=deliveries.c.state.in_(("refused", "given-up")),
    postgresql_where=deliveries.c.state.in_(("refused", "given-up")),
)

# What this machine's steady clock has to be added to, so that times of decisions never jump (SQLite; PostgreSQL has its own clock).
boots = sa.Table(
    "node_boots",
    metadata,
    sa.Column("boot", sa.Text, primary_key=True),
    sa.Column("began_at", sa.Float, nullable=False),
    sa.Column("clock_ahead_s", sa.Float),  # by which the machine's clock was ahead of that when delays were last looked at
)

# SOP classes that a destination did not accept when it was last proposed them; `status`: the answer to an object of a class that it had
# accepted in the association (0122), else nothing.
refused_classes = sa.Table(
    "node_refused_classes",
    metadata,
    sa.Column("destination", sa.Text, primary_key=True),
    sa.Column("sop_class_uid", sa.Text, primary_key=True),
    sa.Column("status", sa.Integer),
    sa.Column("at", sa.Float, nullable=False),
)

# For each series that a package follows over time: the search for the patient's earlier study at a PACS. `ended`: how it came to its end
# (`priors.Ended`), absent while it goes on; `peer`: which one was asked last; `prior`: the study that was found there.
searches = sa.Table(
    "node_searches",
    metadata,
    sa.Column("study_instance_uid", sa.Text, primary_key=True),
    sa.Column("series_instance_uid", sa.Text, primary_key=True),
    sa.Column("began_at", sa.Float, nullable=False),
    sa.Column("ended", sa.Text),
    sa.Column("peer", sa.Text),
    sa.Column("prior", sa.Text),
    sa.Column("error", sa.Text),
)

# Series that the node had sent to itself as a prior's. What is made of a study that has no other series is sent to nobody. `is_said`:
# whether the images of the study that came say that the node asked for them (Move Originator); absent while none has come.
fetched = sa.Table(
    "node_fetched",
    metadata,
    sa.Column("study_instance_uid", sa.Text, primary_key=True),
    sa.Column("series_instance_uid", sa.Text, primary_key=True),
    sa.Column("is_said", sa.Boolean),
)

# Storage commitment requests (PS3.4 annex J): a report is believed only where it names a transaction that is here.
commitments = sa.Table(
    "node_commitments",
    metadata,
    sa.Column("transaction_uid", sa.Text, primary_key=True),
    sa.Column("result_key", sa.Text, nullable=False),
    sa.Column("destination", sa.Text, nullable=False),
    sa.Column("asked_at", sa.Float, nullable=False),
    sa.Column("answered_at", sa.Float),
)
sa.Index("node_commitments_of_result", commitments.c.result_key, commitments.c.destination)

# An instance that retention removes, or has removed.
is_going = sa.or_(instances.c.removing_at.is_not(None), instances.c.removed_at.is_not(None))

# What the partial indexes are about, without parameters: SQLite, and PostgreSQL for a prepared statement, find an index of that kind
# only where the question says the same in the same words.
is_open = sa.text("NOT node_series.is_complete")
is_unsettled = sa.text(
    "node_deliveries.state IN ('queued', 'sent') AND (node_deliveries.state = 'queued' OR node_deliveries.proof IS NULL)"
)
is_dead = sa.text("node_deliveries.state IN ('refused', 'given-up')")
is_unconfirmed = sa.text("node_deliveries.proof = 'missing'")
was_out_of_service = sa.text("node_answers.reason = 'OutOfService'")

# What people and rules did that cannot be seen in the other tables any more: cancelled, retried, rerun, removed.
actions = sa.Table(
    "node_actions",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False, index=True),
    sa.Column("amount", sa.BigInteger),
)
