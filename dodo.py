"""The project's doit tasks; `doit list` shows them, tooling/daintree/commands/project_tasks.py holds them."""

from daintree.commands.project_tasks import task_lint, task_pipelines, task_reference, task_test

__all__ = ["task_lint", "task_pipelines", "task_reference", "task_test"]
