"""The files of a source, unpacked, and their records in frames of text."""
