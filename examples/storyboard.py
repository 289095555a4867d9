"""Ten scenes at once on one budget. The graph makes as many videos as it can pay, and lists the other scenes."""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

from _gateway import PHOTOGRAPH, gateway
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from langchain_nebula_video import BudgetExceededError, NebulaVideoClient
from langchain_nebula_video.graph import VideoState, video_graph

SHOTS = ["wide", "from the left", "from the right", "close", "on the eyes", "on the paws", "from above",
         "out of focus", "at dusk", "at night"]  # fmt: skip


class Storyboard(TypedDict, total=False):
    """The state of the graph."""

    scenes: list[dict[str, Any]]
    videos: Annotated[list[dict[str, Any]], operator.add]
    refused: Annotated[list[str], operator.add]


def storyboard(client: NebulaVideoClient) -> Any:
    """A graph with one task for each scene. Each task submits and waits."""
    animate = video_graph(client)

    def scene(state: VideoState) -> Storyboard:
        try:
            return {"videos": [animate.invoke({"request": state["request"]})["video"]]}
        except BudgetExceededError:
            return {"refused": [state["request"]["prompt"]]}

    graph = StateGraph(Storyboard)
    graph.add_node("scene", scene)
    graph.add_conditional_edges(
        START, lambda state: [Send("scene", {"request": each}) for each in state["scenes"]], ["scene"]
    )
    graph.add_edge("scene", END)
    return graph.compile()


if __name__ == "__main__":
    with gateway(most_usd="1.50") as options:
        client = NebulaVideoClient(budget="1.50", **options)
        scenes = [{"prompt": f"The cat, {shot}", "image": PHOTOGRAPH, "resolution": "480p"} for shot in SHOTS]
        film = storyboard(client).invoke({"scenes": scenes}, {"max_concurrency": 4})

    for video in film["videos"]:
        print(f"{video['prompt']}: {video['url']}")
    for prompt in film["refused"]:
        print(f"{prompt}: not made, the budget is used up")
    spent = sum(float(video["cost"]["usd"]) for video in film["videos"])
    print(f"{len(film['videos'])} of {len(scenes)} made for ${spent:.4f} of $1.50")
