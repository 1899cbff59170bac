"""Artifact stores: runs, their index, sources and leases, in a directory or a bucket."""
