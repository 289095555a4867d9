"""The tools as an MCP server: for desktop clients, editors, and agents of any framework.

Public from here: `create_server` and `serve`. Importing this needs no extra; calling them needs the extra `mcp`.
May import: langchain, client and the rooms below them. `server.py` alone names fastmcp.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Unpack

from langchain_nebula_video.mcp.settings import Http, ServerOptions, read_settings

__all__ = ["Http", "ServerOptions", "create_server", "serve"]

_HINT = 'The MCP server needs its extra: pip install "langchain-nebula-video[mcp]"'


def create_server(**options: Unpack[ServerOptions]) -> Any:
    """Return a `fastmcp.FastMCP` with the tools. It is yours to run or to mount.

    Args:
        options: Those of `NebulaVideoClient`, and those of `ServerSettings`. Give a `journal` in a file: without it, a
            server that is started again knows nothing of the videos under way, and pays for them again.

    Raises:
        InvalidRequestError: an option is not valid.
        ImportError: the extra `mcp` is missing.
    """
    with _extra():
        from langchain_nebula_video.mcp.server import build_server  # noqa: PLC0415 an extra
    settings, client_options = read_settings(options)
    return build_server(client_options, settings)


def serve(*, http: Http | None = None, **options: Unpack[ServerOptions]) -> None:
    """Run the server until it is stopped.

    Args:
        http: Where to listen; `None`: speak over stdin and stdout.
        options: As for `create_server`.
    """
    with _extra():
        from langchain_nebula_video.mcp.running import run_http, run_stdio  # noqa: PLC0415 an extra
    server = create_server(**options)
    if http is None:
        run_stdio(server)
    else:
        run_http(server, http)


@contextmanager
def _extra() -> Iterator[None]:
    """Say which extra is missing if an import of fastmcp fails in the body."""
    try:
        yield
    except ImportError as error:
        if (error.name or "").startswith("langchain_nebula_video"):
            raise
        raise ImportError(f"{_HINT} ({error.name} is missing).", name=error.name) from None
