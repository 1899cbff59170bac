"""What people read: tables, lines of progress, graphs."""
