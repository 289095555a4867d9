#!/usr/bin/env bash
# httpx-aiohttp 0.2.0: an answer that is lost after the request was received is `httpx.ConnectTimeout`.
#
# Its table of errors has a row for aiohttp's `ClientConnectionError`, which is the base class of
# `ServerDisconnectedError` too. A POST that a server has read, and may have acted on, looks as if no connection had
# opened: whoever repeats what was "not sent" repeats it. httpx itself raises `RemoteProtocolError`.
#
# Seen:
#   httpx raises RemoteProtocolError, httpx-aiohttp raises ConnectTimeout; the server read 2 whole POSTs
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet httpx==0.28.1 httpx-aiohttp==0.2.0 aiohttp==3.14.5

"$work/venv/bin/python" -I - <<'EOF'
import asyncio
import sys

import httpx
from httpx_aiohttp import AiohttpTransport

received = 0


async def read_and_hang_up(reader, writer):
    global received
    await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(5)
    received += 1
    writer.close()


async def main():
    server = await asyncio.start_server(read_and_hang_up, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    raised = []
    for transport in (httpx.AsyncHTTPTransport(), AiohttpTransport()):
        async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
            try:
                await client.post(url, content=b"order")
            except httpx.HTTPError as error:
                raised.append(type(error).__name__)
    server.close()
    print(f"httpx raises {raised[0]}, httpx-aiohttp raises {raised[1]}; the server read {received} whole POSTs")
    if (raised, received) != (["RemoteProtocolError", "ConnectTimeout"], 2):
        sys.exit("This has changed.")


asyncio.run(main())
EOF
