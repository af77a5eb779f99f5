"""How does Alembic reach the store? Over the connection, and inside the transaction, `migrate` hands it."""

from alembic import context

from recall.store import schema

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=schema.metadata,
    transactional_ddl=True,  # also on SQLite: we begin transactions ourselves there
)
context.run_migrations()
