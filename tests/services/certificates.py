"""Certificates that an authority of the tests has signed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.services.availability import unavailable


def make_certificate(directory: Path) -> Path:
    """A server's certificate and key, and the authority that signed it: ca.pem."""
    if shutil.which("openssl") is None:
        unavailable("no openssl, which makes the certificate")
    (directory / "extension").write_text("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
    key = "-newkey rsa:2048 -nodes"
    for command in (
        f"req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=team",
        f"req {key} -keyout private.key -out leaf.csr -subj /CN=minio",
        "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extension -out public.crt",
    ):
        subprocess.run(
            ["openssl", *command.split()], cwd=directory, check=True, capture_output=True
        )
    return directory / "ca.pem"
