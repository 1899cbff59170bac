"""The input of a small build, for tests of what builds and pushes images."""

from __future__ import annotations

from pathlib import Path

from daintree.images.builders import BuildInput, build_context

LABEL = "ml.daintree.test.builder"
UNUSUAL = "Größe/a b"
SCRATCH = "FROM scratch\nARG WHAT\nCOPY ${WHAT} /\n"


def image_input(
    directory: Path, nonce: str, dockerfile: str, reference: str = "", *, fresh: bool = False
) -> BuildInput:
    """A Dockerfile beside one file `content`, which holds the nonce, as the image's label does, and one of an unusual name."""
    (directory / "content").write_text(nonce)
    (directory / "Größe").mkdir(exist_ok=True)
    (directory / UNUSUAL).touch()
    # The classic builder keeps an image of each step. One that two tests share could be removed with
    # the images of the first while the second builds on it.
    dockerfile = dockerfile.replace("\n", f"\nARG TEST={nonce}\n", 1)
    return BuildInput(
        context=build_context(directory, ["Dockerfile", "content", UNUSUAL], dockerfile.encode()),
        dockerfile=dockerfile.encode(),
        build_args={"WHAT": "content"},
        labels={LABEL: nonce},
        reference=reference or f"daintree-test/{nonce}:one",
        platform="linux/amd64",
        fresh=fresh,
    )
