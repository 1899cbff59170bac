"""Projects whose files, versions and working trees are tested."""

from tests.components.git_files import committed
from tests.components.versions import project

__all__ = ["committed", "project"]
