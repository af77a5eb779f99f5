"""How does the schema get from one release to the next? Alembic, never edited after release."""
