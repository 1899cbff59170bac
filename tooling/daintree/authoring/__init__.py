"""Authoring: new components, pipelines and locks; component tests; git hooks."""
