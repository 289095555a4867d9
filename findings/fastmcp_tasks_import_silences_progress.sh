#!/usr/bin/env bash
# fastmcp[tasks] 4.1.4: `import fastmcp_tasks` in a client makes every call a task, and no progress arrives any more.
#
# The same client calls the same tool of the same server, which may run it in the call or as a task. The import alone
# decides which. As a task, the server's progress reports do not reach the client's `progress_handler`, and nothing is
# raised. A program that is server and client at once imports it for its server. The server is a child on stdio.
#
# Seen:
#   without the import: the tool ran in the call, progress [1.0, 2.0, 3.0]
#   with the import: the tool ran as a task, progress []
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet 'fastmcp[tasks]==4.1.4'

cat >"$work/server.py" <<'EOF'
import asyncio

from fastmcp import Context, FastMCP
from fastmcp.utilities.tasks import TaskConfig
from fastmcp_tasks import TasksExtension

server = FastMCP("server")
server.add_extension(TasksExtension(url="memory://"))


@server.tool(task=TaskConfig(mode="optional"))
async def work(context: Context) -> str:
    """Report three steps."""
    for step in (1, 2, 3):
        await context.report_progress(step, 3)
        await asyncio.sleep(0.2)
    return "as a task" if context.is_background_task else "in the call"


server.run(show_banner=False, log_level="ERROR")
EOF

"$work/venv/bin/python" -I - "$work/server.py" <<'EOF'
import asyncio
import sys

from fastmcp import Client
from fastmcp.client.transports import PythonStdioTransport


async def call():
    """How the tool ran, and the progress that came."""
    progress = []

    async def on_progress(value, total, message):
        progress.append(value)

    transport = PythonStdioTransport(sys.argv[1], python_cmd=sys.executable)
    async with Client(transport, progress_handler=on_progress) as client:
        result = await client.call_tool("work", {})
        await asyncio.sleep(0.5)  # for what comes late
    return result.data, progress


without = asyncio.run(call())
print(f"without the import: the tool ran {without[0]}, progress {without[1]}")
import fastmcp_tasks  # noqa: E402, F401

imported = asyncio.run(call())
print(f"with the import: the tool ran {imported[0]}, progress {imported[1]}")
if (without, imported) != (("in the call", [1.0, 2.0, 3.0]), ("as a task", [])):
    sys.exit("The behaviour changed: the import alone should make the call a task without progress.")
EOF
