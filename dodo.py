"""The project's doit tasks; `doit list` shows them, tooling/tasks/ holds them."""

from tooling.tasks.project_tasks import task_lint, task_pipelines, task_reference, task_test

__all__ = ["task_lint", "task_pipelines", "task_reference", "task_test"]
