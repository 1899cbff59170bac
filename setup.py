"""Adds to the wheel the files of this repository that `doit new project` writes as they are: there is one source of each."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

TEMPLATES = Path("tooling/daintree/authoring/templates")


class BuildWithSharedFiles(build_py):
    """Copies what templates/shared.txt names; in an editable installation it is where it is."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        shared = Path(self.build_lib, "daintree/authoring/templates/shared")
        shutil.rmtree(shared, ignore_errors=True)
        left_out = shutil.ignore_patterns("__pycache__", "tests", ".*")
        for name in (TEMPLATES / "shared.txt").read_text(encoding="utf-8").split():
            (shared / name).parent.mkdir(parents=True, exist_ok=True)
            # The tooling's own image is built without them.
            if Path(name).is_dir():
                shutil.copytree(name, shared / name, ignore=left_out)
            elif Path(name).is_file():
                shutil.copyfile(name, shared / name)


setup(cmdclass={"build_py": BuildWithSharedFiles})
