"""What people write: component and pipeline files, as frozen types."""
