"""What comes back over HTTP? Stands beside tasks and never imports Prefect."""
