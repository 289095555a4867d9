"""The command `emulator`: where it adds the console."""

from __future__ import annotations

from starlette.testclient import TestClient

from langchain_nebula_video.cli.emulator import _add_console
from langchain_nebula_video.emulator import Emulator
from tests.tables import each_row


@each_row("host", ["192.168.1.5", "gateway.test"])
def test_at_a_host_where_no_browser_gets_the_console_there_is_none(host: str) -> None:
    """A link that is refused would be worse than none."""
    emulator = Emulator()
    routes = len(emulator.app.routes)
    assert f"no console at {host}" in str(_add_console(emulator, host))
    assert len(emulator.app.routes) == routes


@each_row("host", ["127.0.0.1", "localhost", "::1", "0.0.0.0", "::"])
def test_at_every_other_host_it_is_added(host: str) -> None:
    emulator = Emulator()
    assert _add_console(emulator, host) is None
    with TestClient(emulator.app, base_url="http://127.0.0.1", client=("127.0.0.1", 1)) as client:
        assert "<title>Nebula emulator</title>" in client.get("/").text
