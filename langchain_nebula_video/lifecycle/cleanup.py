"""Run the cleanup that an error calls for, even if the caller is cancelled meanwhile."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from langchain_nebula_video.errors import NebulaVideoError
from langchain_nebula_video.transport import Runtime

__all__ = ["run_cleanup"]


async def run_cleanup(runtime: Runtime, error: BaseException, flow: Coroutine[Any, Any, object]) -> None:
    """Run `flow` to completion. If it fails, `error` stays the one to raise, and gets a note.

    If the caller is cancelled meanwhile, the cancellation is raised, and carries `error` as notes.

    Args:
        runtime: The runtime of the caller.
        error: The exception being handled.
        flow: The cleanup.
    """
    try:
        await runtime.run_to_completion(flow)
    except Exception as second:  # noqa: BLE001 whatever a journal raises, the first error says more
        error.add_note(f"Afterwards: {second}")
    except BaseException as stopped:
        notes = [str(error)] if isinstance(error, NebulaVideoError) else []
        for note in (*notes, *getattr(error, "__notes__", ())):
            stopped.add_note(note)
        raise
