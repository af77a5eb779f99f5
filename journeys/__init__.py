"""WHOM do we write to and WHAT? Pure: no clock, no network, no SQL, no Prefect."""
