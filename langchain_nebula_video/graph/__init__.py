"""LangGraph nodes, and a graph of them. Needs the extra `langgraph`.

Public from here: nodes that submit, wait and save in the process of the graph (`videos`); and a node that hands work to
the fleet, with what resumes its graphs (`fleet`), which need the extra `fleet` too.
May import: langchain, fleet and the rooms below them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_nebula_video.graph.videos import (
    VideoCache,
    VideoState,
    approval_node,
    save_node,
    submit_node,
    video_graph,
    wait_node,
)

if TYPE_CHECKING:
    from langchain_nebula_video.graph.fleet import FleetState, fleet_node, resume_graphs

__all__ = [
    "FleetState",
    "VideoCache",
    "VideoState",
    "approval_node",
    "fleet_node",
    "resume_graphs",
    "save_node",
    "submit_node",
    "video_graph",
    "wait_node",
]


def __getattr__(name: str) -> Any:
    """Import what needs the fleet when it is first used."""
    if name not in {"FleetState", "fleet_node", "resume_graphs"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 only here

    return getattr(import_module(f"{__name__}.fleet"), name)
