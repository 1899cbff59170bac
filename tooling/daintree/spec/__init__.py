"""Component and pipeline files, as frozen types."""
