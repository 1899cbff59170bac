from __future__ import annotations

from pathlib import Path

import pytest

from daintree.process import Finished
from daintree.runners.uv import (
    access_hint,
    complaint,
    install_hint,
    run_uv,
    uv_file_settings,
    uv_variables,
)

INDEX = "https://me:secret@packages.example/simple"


def test_where_packages_come_from_is_the_users_to_say() -> None:
    environ = {
        "PATH": "/bin",
        "HTTPS_PROXY": "http://proxy.example",
        "UV_DEFAULT_INDEX": INDEX,
        "UV_INDEX_CORP_PASSWORD": "secret",
        "UV_CACHE_DIR": "/cache",
    }
    assert environ.items() <= uv_variables(environ, {}).items()


FAILED = "error: Failed to fetch: https://packages.example/simple/alpha/\n  cause: "


@pytest.mark.parametrize(
    "name",
    ["UV_PYTHON", "UV_SYSTEM_PYTHON", "UV_CONSTRAINT", "UV_NO_VERIFY_HASHES", "PYTHONPATH",
     "VIRTUAL_ENV", "GIT_DIR", "DAINTREE_STORE"],
)  # fmt: skip
def test_what_gets_installed_is_not(name: str) -> None:
    assert name not in uv_variables({name: "/somewhere"}, {})


@pytest.mark.parametrize(
    ("option", "value", "name", "passed"),
    [
        ("index-url", INDEX, "UV_INDEX_URL", INDEX),
        ("extra-index-url", "https://a.example\nhttps://b.example", "UV_EXTRA_INDEX_URL",
         "https://a.example https://b.example"),
        ("cert", "/certs/ca.pem", "SSL_CERT_FILE", "/certs/ca.pem"),
        ("client-cert", "/certs/me.pem", "SSL_CLIENT_CERT", "/certs/me.pem"),
        ("trusted-host", "a.example b.example", "UV_INSECURE_HOST", "a.example b.example"),
        ("timeout", "60", "UV_HTTP_TIMEOUT", "60"),
        ("proxy", "http://proxy.example", "ALL_PROXY", "http://proxy.example"),
        ("no-index", "true", "UV_OFFLINE", "1"),
        ("find-links", "https://files.example / /not/there", "UV_FIND_LINKS",
         "https://files.example,/"),
    ],
)  # fmt: skip
def test_pips_settings_are_passed_on(option: str, value: str, name: str, passed: str) -> None:
    assert uv_variables({}, {option: value})[name] == passed


@pytest.mark.parametrize(
    ("own", "option", "name"),
    [
        ("UV_INDEX_URL", "index-url", "UV_INDEX_URL"),
        ("UV_DEFAULT_INDEX", "index-url", "UV_INDEX_URL"),
        ("UV_INDEX", "extra-index-url", "UV_EXTRA_INDEX_URL"),
        ("SSL_CERT_FILE", "cert", "SSL_CERT_FILE"),
        ("HTTPS_PROXY", "proxy", "ALL_PROXY"),
    ],
)
def test_uvs_own_settings_win(own: str, option: str, name: str) -> None:
    assert uv_variables({own: "own"}, {option: "pip's"}).get(name) != "pip's"


@pytest.mark.parametrize("value", ["false", "0", ""])
def test_an_option_that_is_off_stays_off(value: str) -> None:
    assert "UV_OFFLINE" not in uv_variables({}, {"no-index": value})


def test_a_complaint_names_no_credentials() -> None:
    text = f"Using Python 3.11 environment at: x\nerror: Failed to fetch: {INDEX}/alpha/"
    failed = Finished(2, b"", text.encode())
    assert complaint(failed) == "error: Failed to fetch: https://packages.example/simple/alpha/"
    assert access_hint(complaint(failed)) == "check the network and the proxy and index settings"


def test_advice_about_options_of_uv_is_left_out_and_ours_is_given() -> None:
    text = (
        "  × No solution found when resolving dependencies:\n"
        "  ╰─▶ Because alpha was not found, we can conclude\n"
        "      that it is unsatisfiable.\n\n"
        "      hint: `alpha` was found elsewhere. If all indexes are equally\n"
        "      trusted, use `--index-strategy unsafe-best-match`.\n"
    )
    failed = Finished(1, b"", text.encode())
    assert "hint:" not in complaint(failed)
    assert "index-strategy" not in complaint(failed)
    assert complaint(failed).endswith("that it is unsatisfiable.")
    assert "UV_INDEX_STRATEGY" in access_hint(text)


def test_addresses_in_the_users_uv_toml_are_passed_on_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "uv" / "uv.toml"
    file.parent.mkdir()
    file.write_text(
        'index-url = "https://a.example"\nextra-index-url = ["https://b.example"]\n'
        'find-links = ["/one", "/two"]\nnative-tls = true\noffline = false\n'
        'override-dependencies = ["x==1"]\nexclude-newer = "2020-01-01"\n'
        '[[index]]\nname = "own"\nurl = "https://own.example"\n'
        '[[index]]\nurl = "https://main.example"\ndefault = true\n'
        '[pip]\nindex-url = "https://pip.example"\n'
    )
    expected = {
        "UV_INDEX_URL": "https://pip.example",
        "UV_EXTRA_INDEX_URL": "https://b.example",
        "UV_FIND_LINKS": "/one,/two",
        "UV_NATIVE_TLS": "1",
        "UV_INDEX": "own=https://own.example",
        "UV_DEFAULT_INDEX": "https://main.example",
    }
    assert uv_file_settings({"XDG_CONFIG_HOME": str(tmp_path)}) == expected
    assert uv_file_settings({"UV_CONFIG_FILE": str(file)}) == expected
    assert uv_file_settings({"UV_CONFIG_FILE": str(file), "UV_NO_CONFIG": "1"}) == {}
    for nonsense in ("no TOML", "index = 5", "pip = 5"):
        file.write_text(nonsense)
        assert uv_file_settings({"UV_CONFIG_FILE": str(file)}) == {}


def test_no_file_of_uvs_is_read() -> None:
    assert uv_variables({"UV_CONFIG_FILE": "/x", "UV_EXCLUDE_NEWER": "2020-01-01"}, {}) == {
        "NO_COLOR": "1",
        "UV_NO_CONFIG": "1",
        "UV_NO_PROGRESS": "1",
    }


def test_a_long_complaint_is_cut_to_its_end() -> None:
    text = "\n".join(f"line {number}" for number in range(500))
    assert complaint(Finished(1, b"", text.encode())).splitlines()[-1] == "line 499"
    assert len(complaint(Finished(1, b"", text.encode())).splitlines()) == 20


def test_advice_of_several_paragraphs_is_left_out_to_its_end() -> None:
    text = (
        "error: Failed to build `alpha`\n\n"
        "hint: `alpha` depends on `numpy`. Add it under:\n\n"
        '[tool.uv.extra-build-dependencies]\nalpha = ["numpy"]\n\n'
        "or `uv pip install numpy` and re-run with `--no-build-isolation`.\n\n"
        "hint: An index could not be queried (401 Unauthorized)\n"
    )
    words = complaint(Finished(1, b"", text.encode()))
    assert words.split("\n\n") == [
        "error: Failed to build `alpha`",
        "hint: An index could not be queried (401 Unauthorized)",
    ]


def test_no_complaint_at_all() -> None:
    assert complaint(Finished(-9, b"", b"")) == "uv ended with exit code -9"


def test_an_index_that_cannot_be_reached(
    wheels: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UV_OFFLINE")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("PIP_INDEX_URL", "http://me:secret@127.0.0.1:9/simple")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (tmp_path / "requirements.in").write_text("alpha\n")
    text = complaint(run_uv(["pip", "compile", "requirements.in"], cwd=tmp_path))
    assert "127.0.0.1:9/simple" in text
    assert "secret" not in text
    assert access_hint(text) == "check the network and the proxy and index settings"


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("error: Failed to initialize cache at /x\n  cause: Permission denied", "UV_CACHE_DIR"),
        ("error: Failed to read `--find-links` directory: /x", "pip.conf) is missing"),
        ("error: Failed to parse environment variable `UV_X` with invalid value", "unset it"),
        (FAILED + "invalid peer certificate: UnknownIssuer", "SSL_CERT_FILE"),
        (FAILED + "invalid peer certificate: Expired", "has expired"),
        (FAILED + "invalid peer certificate: NotValidForName", "the name that the certificate"),
        (FAILED + "received corrupt message of type InvalidContentType", "write http://"),
        (
            FAILED + "HTTP status client error (407 Proxy Authentication Required)",
            "the proxy wants",
        ),
        (FAILED + "HTTP status client error (429 Too Many Requests)", "run it again later"),
        (FAILED + "HTTP status server error (503 Service Unavailable)", "run it again later"),
        (FAILED + "operation timed out", "UV_HTTP_TIMEOUT"),
        (FAILED + "dns error", "check the network"),
        ("cause: Because you require alpha==1 and alpha==2, yours are unsatisfiable", "lock anew"),
        ("cause: No space left on device (os error 28)", "free some space there"),
        ("cause: HTTP status client error (401 Unauthorized)", "wants credentials"),
        ("error: Failed to build `alpha==1.0`", "there is no wheel"),
        ("cause: Because there is no version of alpha==9", "no such version"),
    ],
)
def test_what_to_do_is_said_where_it_is_known(text: str, advice: str) -> None:
    assert advice in install_hint(text)
    assert install_hint("something never seen") == ""
