"""Run by alembic, on the connection that `store.migrate` hands over."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, render_as_batch=True, version_table="node_schema")
with context.begin_transaction():
    context.run_migrations()
