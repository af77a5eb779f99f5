"""HOW do we reach people? One file per vendor channel; `open_provider` finds them by name."""
