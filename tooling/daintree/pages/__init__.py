"""Pages to look at: pipelines, runs, outputs and metrics, written as files or served to this machine's browser."""
