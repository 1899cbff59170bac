"""Where the tooling runs in a cluster: pipelines are mounted beside this file."""
