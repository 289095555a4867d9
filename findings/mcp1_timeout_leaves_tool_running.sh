#!/usr/bin/env bash
# mcp 1.30.0 and 2.3.0: whether a tool stops when its caller's timeout ends depends on the client's version.
#
# Both clients call the same tool of the same server (mcp 2.3.0, stdio) with `read_timeout_seconds` of 2 seconds.
# Both raise after 2 seconds. The client 2.3.0 sends a cancellation, and the server cancels the tool's coroutine.
# The client 1.30.0 sends nothing, so the tool runs to its end. Each repeated call starts one more run.
# A tool that costs money is then paid for once per timeout.
#
# Seen:
#   client mcp 1.30.0: McpError; the tool: started, finished
#   client mcp 2.3.0: MCPError; the tool: started, cancelled
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for version in 1.30.0 2.3.0; do
    "${PYTHON:-python3}" -m venv "$work/$version"
    "$work/$version/bin/pip" install --quiet "mcp==$version"
done

cat >"$work/server.py" <<'EOF'
import asyncio
import pathlib
import sys

from mcp.server.mcpserver import MCPServer

server = MCPServer("slow")


@server.tool()
async def slow() -> str:
    """Take six seconds."""
    with pathlib.Path(sys.argv[1]).open("a", encoding="utf-8", buffering=1) as log:
        print("started", file=log)
        try:
            await asyncio.sleep(6)
        except asyncio.CancelledError:
            print("cancelled", file=log)
            raise
        print("finished", file=log)
        return "done"


server.run("stdio")
EOF

cat >"$work/client.py" <<'EOF'
import asyncio
import datetime
import pathlib
import sys

import mcp
from mcp.client.stdio import stdio_client

version, python, server, log = sys.argv[1:]
log = pathlib.Path(log)
timeout = datetime.timedelta(seconds=2) if version.startswith("1.") else 2.0


async def main():
    parameters = mcp.StdioServerParameters(command=python, args=[server, str(log)])
    async with stdio_client(parameters) as streams, mcp.ClientSession(*streams) as session:
        await session.initialize()
        try:
            await session.call_tool("slow", {}, read_timeout_seconds=timeout)
            error = "no error"
        except Exception as exception:
            error = type(exception).__name__
        for _ in range(150):
            if len(log.read_text(encoding="utf-8").split()) > 1:
                break
            await asyncio.sleep(0.1)
    print(f"client mcp {version}: {error}; the tool: {', '.join(log.read_text(encoding='utf-8').split())}")


log.touch()
asyncio.run(main())
EOF

for version in 1.30.0 2.3.0; do
    "$work/$version/bin/python" -I "$work/client.py" \
        "$version" "$work/2.3.0/bin/python" "$work/server.py" "$work/$version.log" 2>"$work/$version.err" ||
        { cat "$work/$version.err" >&2; exit 1; }
done
old=$(paste -sd, "$work/1.30.0.log")
new=$(paste -sd, "$work/2.3.0.log")
if [ "$old" != started,finished ] || [ "$new" != started,cancelled ]; then
    echo "The behaviour changed: the tool should finish for mcp 1.30.0 and be cancelled for 2.3.0." >&2
    exit 1
fi
