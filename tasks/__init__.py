"""What may be retried and seen in the Prefect UI? One decorated call down a file."""
