"""WHEN do things happen? One Prefect flow a file; no branching on a user."""
