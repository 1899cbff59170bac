"""`doit ui` and `doit report`: the pages, served to this machine's browser or written as files."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from threading import Thread
from typing import Any

from daintree.commands.command import DaintreeCommand, exit_code_of, option, reserved_names
from daintree.errors import EnvironmentFailed, UsageError
from daintree.settings import install_command
from daintree.spec.document import cache_documents
from daintree.terminal import count, say

PORT = 8237
# Connections that are open when a signal comes have that long.
LAST_SECONDS = 3.0
DIRECTORY = "output/report"


def _check_installed() -> None:
    """Raise EnvironmentFailed where the packages that pages need are missing."""
    from importlib.util import find_spec

    needed = ("jinja2", "starlette", "uvicorn", "markdown_it", "nh3", "plotly", "fast_sugiyama")
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise EnvironmentFailed(
            f"the pages need packages that are not installed: {', '.join(missing)}",
            hint=install_command("ui"),
        )


class _PagesCommand(DaintreeCommand):
    """Part that both commands share: the project, opened for its pages; `brief` for somebody who waits."""

    brief = False

    def open_project(self) -> Any:
        """The project as pages show it. Raises EnvironmentFailed where the extra is not installed."""
        _check_installed()
        from daintree.pages.project import Project

        cache_documents(self.settings.documents)
        return Project(self.settings, reserved_names(self.root), brief=self.brief)


class Report(_PagesCommand):
    """Writes the pages of pipelines as files."""

    doc_usage = "PIPELINE … [--out DIR]"
    doc_description = (
        "The directory is written anew as a whole; open its `index.html` in a browser, keep it as an artifact of CI, or send it. "
        "Needs the extra `ui`."
    )
    cmd_options = (option("out", f"the directory to write (default {DIRECTORY})"),)
    names = (1, None)

    def work(self, options: Mapping[str, Any], names: list[str]) -> None:
        project = self.open_project()
        from daintree.pages.site import write_report

        directory = Path(options["out"]) if options["out"] else self.root / DIRECTORY
        pages = write_report(project, list(dict.fromkeys(names)), directory)
        say(f"{count(pages, 'page')} written")
        print(directory / "index.html")


class Ui(_PagesCommand):
    """Serves the pages on this machine until it is interrupted."""

    doc_usage = "[PIPELINE] [--port N] [--no-browser]"
    doc_description = (
        "Read only, for this machine alone (127.0.0.1). What runs on this machine, and what others compute, appears by itself. "
        "Needs the extra `ui`."
    )
    cmd_options = (
        option(
            "port",
            f"the port (default {PORT}, or the next that is free; 0: any)",
            type=int,
            default=-1,
        ),
        option("no_browser", "print the address and open no browser", type=bool),
    )
    names = (0, 1)
    brief = True

    def work(self, options: Mapping[str, Any], names: list[str]) -> int:
        project = self.open_project()
        page = ""
        if names:
            project.pipeline(names[0])
            page = f"pipelines/{names[0]}/index.html"
        import uvicorn

        from daintree.pages.server import ADDRESS, HeadDeadline, application

        listener = _listener(ADDRESS, options["port"])
        address = f"http://{ADDRESS}:{listener.getsockname()[1]}/{page}"
        server = uvicorn.Server(
            uvicorn.Config(
                application(self.open_project),
                http=HeadDeadline,
                log_level="warning",
                access_log=False,
                ws="none",
                timeout_graceful_shutdown=1,
                server_header=False,
            )
        )
        print(address, flush=True)
        say("Ctrl-C ends it")
        if not options["no_browser"]:
            _open_browser(address)
        return _serve(server, listener)


def _serve(server: Any, listener: socket.socket) -> int:
    """Serve until a signal comes; the exit code. The server works in a thread, so that signals are the command's own."""
    thread = Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        thread.join()
    except KeyboardInterrupt as stopped:
        return exit_code_of(stopped)
    finally:
        server.should_exit = True
        thread.join(LAST_SECONDS)
    return 0


def _listener(address: str, port: int) -> socket.socket:
    """A socket that listens. Raises UsageError where the port cannot be had."""
    if port > 65535 or port < -1:
        raise UsageError(f"--port {port}: expected 0 to 65535")
    ports = range(PORT, PORT + 20) if port < 0 else [port]
    for number in ports:
        # The address is printed before the server is there: who comes early waits.
        try:
            return socket.create_server((address, number))
        except OSError as error:
            reason = os.strerror(error.errno or 0)
    raise UsageError(
        f"port {ports[0]} of {address} cannot be had: {reason}",
        hint="choose another one: --port N, or --port 0",
    )


def _open_browser(address: str) -> None:
    """Open the address in a graphical browser, where there is one."""
    if sys.platform != "darwin" and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return
    import webbrowser

    webbrowser.open(address)
