"""A client of mcp 2, run in the servers' environment: reads calls as JSON on stdin, writes what came of them.

Input: `url`, `token`, `elicit` (`true`, `false` or null: it cannot ask), `name`, and `calls`, each with `tool`,
`arguments`, `timeout` (seconds or null) and `task` (whether to run it as a task).
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from fastmcp import Client
from fastmcp.client.elicitation import ElicitResult
from fastmcp.client.transports import StreamableHttpTransport
from mcp_types import Implementation


async def main(given: dict[str, Any]) -> list[dict[str, Any]]:
    """Make the calls, one after the other."""
    if any(call.get("task") for call in given["calls"]):
        import fastmcp_tasks  # noqa: F401 a client that is made after this runs every call as a task
    asked: list[str] = []
    progress: list[float] = []

    async def elicit(message: str, *_: Any) -> Any:
        asked.append(message)
        return {"pay": True} if given["elicit"] else ElicitResult(action="decline")

    async def on_progress(value: float, total: float | None, message: str | None) -> None:
        progress.append(value)

    transport = StreamableHttpTransport(given["url"], headers={"Authorization": f"Bearer {given['token']}"})
    more: dict[str, Any] = {"client_info": Implementation(name=given["name"], version="1")} if given.get("name") else {}
    if given.get("elicit") is not None:
        more["elicitation_handler"] = elicit
    results = []
    async with Client(transport, progress_handler=on_progress, **more) as client:
        for call in given["calls"]:
            asked.clear()
            progress.clear()
            results.append({**await _call(client, call), "asked": [*asked], "progress": [*progress]})
    return results


async def _call(client: Any, call: dict[str, Any]) -> dict[str, Any]:
    try:
        if call.get("task"):
            from fastmcp_tasks import call_tool_task

            task = await call_tool_task(client, call["tool"], call["arguments"], raise_on_error=False)
            result = await task.result()
        else:
            result = await client.call_tool(
                call["tool"], call["arguments"], timeout=call.get("timeout"), raise_on_error=False
            )
    except Exception as error:  # noqa: BLE001 the test looks at it
        return {"raised": f"{type(error).__name__}: {error}"}
    return {
        "facts": result.structured_content,
        "error": result.is_error,
        "content": [block.model_dump(mode="json", exclude_none=True) for block in result.content],
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(main(json.loads(sys.stdin.read())))))
