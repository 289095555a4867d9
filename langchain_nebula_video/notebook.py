"""Notebooks: a bar that moves while a video is made, and a player on demand.

A `Video`, a `Task` and a `VideoProgress` on the last line of a cell show themselves; they need nothing from here. This
module needs IPython, which every notebook has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_nebula_video.display.player import EMBED_LIMIT
from langchain_nebula_video.errors import InvalidRequestError

if TYPE_CHECKING:
    from langchain_nebula_video.schema import OnProgress, Task, Video, VideoProgress

__all__ = ["EMBED_LIMIT", "progress_bar", "show"]


def progress_bar() -> OnProgress:
    """Return a callback that shows a bar in the cell: `client.generate(..., on_progress=progress_bar())`.

    It works with the blocking and the async client. The notebook keeps the last state of the bar. A callback shows a
    new bar for each task, so one serves several videos at once.

    Raises:
        InvalidRequestError: IPython is not installed.
    """
    display = _display()
    bars: dict[str, Any] = {}

    def update(progress: VideoProgress) -> None:
        task_id = progress.task_id  # "" while a submit waits for its place; the task takes over that bar
        bar = bars.get(task_id) or (bars.pop("", None) if task_id else None)
        if bar is None:
            bar = display(progress, display_id=True)
        else:
            bar.update(progress)
        bars[task_id] = bar

    return update


def show(item: Video | Task, *, signed_url: bool = False, embed_limit: int = EMBED_LIMIT) -> None:
    """Show a video or a task in the cell.

    Args:
        item: What to show.
        signed_url: Whether to play a video from its signed address, and to link to it. Whoever gets the notebook can
            then open the video until the address expires. By default, only a saved file is played.
        embed_limit: Bytes of a saved file up to which it is embedded in the notebook. The default is 8 million.

    Raises:
        InvalidRequestError: IPython is not installed.
    """
    from langchain_nebula_video.schema import Video  # noqa: PLC0415 this module is light to import

    display = _display()
    if isinstance(item, Video):
        card = item.card(signed_url=signed_url, embed_limit=embed_limit)
    else:
        card = item.card(signed_url=signed_url)
    display(card.as_bundle(), raw=True)


def _display() -> Any:
    try:
        from IPython.display import display  # noqa: PLC0415 notebooks have it
    except ModuleNotFoundError as error:
        raise InvalidRequestError("A notebook's bar needs IPython.", hint="Run: pip install ipython") from error
    return display
