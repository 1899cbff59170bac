"""Docker's own cases: those of moby's patternmatcher, and of its reader of ignore files."""

from __future__ import annotations

import pytest

from daintree.components.source import Dockerignore, excluding_patterns
from daintree.errors import VersionError


def ignores(patterns: str | bytes, path: str) -> bool:
    content = patterns if isinstance(patterns, bytes) else patterns.encode()
    return Dockerignore(content, ".dockerignore").ignores(path)


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("**", "file", True),
        ("**/", "file", True),
        ("**", "dir/file", True),
        ("**/", "dir/file", True),
        ("**/**", "dir/file", True),
        ("dir/**", "dir/file", True),
        ("dir/**", "dir/dir2/file", True),
        ("**/dir", "dir", True),
        ("**/dir", "dir/file", True),
        ("**/dir2/*", "dir/dir2/file", True),
        ("**/dir2/**", "dir/dir2/dir3/file", True),
        ("**file", "file", True),
        ("**file", "dir/file", True),
        ("**/file", "dir/file", True),
        ("**file", "dir/dir/file", True),
        ("**/file", "dir/dir/file", True),
        ("**/file*", "dir/dir/file", True),
        ("**/file*", "dir/dir/file.txt", True),
        ("**/file*txt", "dir/dir/file.txt", True),
        ("**/file*.txt", "dir/dir/file.txt", True),
        ("**/file*.txt*", "dir/dir/file.txt", True),
        ("**/**/*.txt", "dir/dir/file.txt", True),
        ("**/**/*.txt2", "dir/dir/file.txt", False),
        ("**/*.txt", "file.txt", True),
        ("**/**/*.txt", "file.txt", True),
        ("a**/*.txt", "a/file.txt", True),
        ("a**/*.txt", "a/dir/file.txt", True),
        ("a**/*.txt", "a/dir/dir/file.txt", True),
        ("a/*.txt", "a/dir/file.txt", False),
        ("a/*.txt", "a/file.txt", True),
        ("a/*.txt**", "a/file.txt", True),
        ("a[b-d]e", "ae", False),
        ("a[b-d]e", "ace", True),
        ("a[b-d]e", "aae", False),
        ("a[^b-d]e", "aze", True),
        (".*", ".foo", True),
        (".*", "foo", False),
        ("abc.def", "abcdef", False),
        ("abc.def", "abc.def", True),
        ("abc.def", "abcZdef", False),
        ("abc?def", "abcZdef", True),
        ("abc?def", "abcdef", False),
        ("a\\\\", "a\\", True),
        ("a\\*b", "a*b", True),
        ("a\\*b", "axb", False),
        ("**/foo/bar", "foo/bar", True),
        ("**/foo/bar", "dir/foo/bar", True),
        ("**/foo/bar", "dir/dir2/foo/bar", True),
        ("abc/**", "abc", False),
        ("abc/**", "abc/def", True),
        ("abc/**", "abc/def/ghi", True),
        ("**/.foo", ".foo", True),
        ("**/.foo", "bar.foo", False),
        ("a(b)c/def", "a(b)c/def", True),
        ("a(b)c/def", "a(b)c/xyz", False),
        ("a.|)$(}+{bc", "a.|)$(}+{bc", True),
        ("dist/*.whl", "dist/x-2.4.0rc3.dev36+g08acad9-py3-none-any.whl", True),
        ("*", "abc", True),
        ("*c", "abc", True),
        ("a*", "a", True),
        ("a*", "ab/c", True),
        ("a*/b", "abc/b", True),
        ("a*/b", "a/c/b", False),
        ("a*b*c*d*e*/f", "axbxcxdxexxx/f", True),
        ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", False),
        ("a*b?c*x", "abxbbxdbxebxczzx", True),
        ("a*b?c*x", "abxbbxdbxebxczzy", False),
        ("ab[c]", "abc", True),
        ("ab[^c]", "abc", False),
        ("ab[^e-g]", "abc", True),
        ("a?b", "a☺b", True),
        ("a[^a]b", "a☺b", True),
        ("a???b", "a☺b", False),
        ("[a-ζ]*", "α", True),
        ("*[a-ζ]", "A", False),
        ("a?b", "a/b", False),
        ("a*b", "a/b", False),
        ("[\\]a]", "]", True),
        ("[\\-]", "-", True),
        ("[x\\-]", "z", False),
        ("[\\-x]", "-", True),
        ("*x", "xxx", True),
        ("***", "a/b", True),
        ("a]", "a]", True),
        ("[[]x", "[x", True),
        ("[a&&b]", "&", True),
    ],
)
def test_one_pattern(pattern: str, path: str, expected: bool) -> None:
    assert ignores(pattern, path) is expected


@pytest.mark.parametrize(
    ("patterns", "path", "expected"),
    [
        ("**\n!util/docker/web", "util/docker/web/foo", False),
        ("**\n!util/docker/web\nutil/docker/web/foo", "util/docker/web/foo", True),
        ("**\n!dist/*.whl", "dist/x-2.4.0-py3-none-any.whl", False),
        ("!main.go\n*.go", "main.go", True),
        ("*.go\n!main.go", "main.go", False),
        ("docs\n!docs/README.md", "docs/README.md", False),
        ("docs\n!docs/README.md", "docs/other.md", True),
        ("docs/\n!docs/README.md", "docs/README.md", False),
        ("docs/*\n!docs/README.md", "docs/README.md", False),
        # Taken back before anything left it out: that does not reach what lies below.
        ("a/b\n!a", "a/b", True),
        ("a\n!a\na/b", "a/b", True),
        ("*\n!keep", "keep/deep/file", False),
    ],
)
def test_the_last_pattern_that_matches_decides(patterns: str, path: str, expected: bool) -> None:
    assert ignores(patterns, path) is expected


@pytest.mark.parametrize(
    ("content", "path", "expected"),
    [
        (b"\xef\xbb\xbfmain.py", "main.py", True),
        (b"# main.py\n", "# main.py", False),
        (b" # a", "# a", True),
        (b"  main.py \t\r\n", "main.py", True),
        (b"/main.py", "main.py", True),
        (b"//main.py", "main.py", True),
        (b"./a/../main.py", "main.py", True),
        (b"docs/", "docs/x", True),
        (b"*\n! /main.py", "main.py", False),
        (b"\n\n   \n", "main.py", False),
        (b".", "main.py", False),
        (b"/", "main.py", False),
        ("ärger *.txt".encode(), "ärger 1.txt", True),
        (b"", "main.py", False),
    ],
)
def test_how_lines_are_read(content: bytes, path: str, expected: bool) -> None:
    assert ignores(content, path) is expected


@pytest.mark.parametrize(
    "pattern",
    ["[]a]", "[-]", "[x-]", "[-x]", "\\", "[a-b-c]", "[", "[^", "[^bc", "a[", "!", "!/", "[z-a]"],
)
def test_a_malformed_pattern_is_an_error_with_its_line(pattern: str) -> None:
    with pytest.raises(VersionError) as caught:
        Dockerignore(f"ok\n{pattern}\n".encode(), "components/a/.dockerignore")
    assert caught.value.message.startswith(
        f"components/a/.dockerignore:2: {pattern!r} is not a pattern Docker understands: "
    )
    assert caught.value.hint


def test_git_is_spared_no_file_that_docker_copies() -> None:
    # For Docker only a newline ends a line.
    content = b"# once there was\rmodel\nlogs\x0cdata\n"
    assert not ignores(content, "model")
    assert not ignores(content, "data")
    assert excluding_patterns(content, counted=()) == []
