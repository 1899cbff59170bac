"""Images of components: which are missing and why, built from snapshots, pushed, and named by their aliases."""
