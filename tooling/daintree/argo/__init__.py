"""The same pipeline in a cluster: what is missing becomes an Argo Workflow, and what it computed is recorded as hits."""
