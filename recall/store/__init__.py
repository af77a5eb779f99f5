"""What do we remember? The only room that names SQLAlchemy."""
