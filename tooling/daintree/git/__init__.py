"""What git knows of a project: the files of its working tree and commits, and its history."""
