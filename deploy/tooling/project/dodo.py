"""Where the tooling runs in a cluster: pipelines are mounted beside this file."""

from daintree.tasks.project_tasks import task_pipelines  # noqa: F401
