"""Image-to-video for LangChain: an image and a prompt in, the video's URL and its cost out.

`__all__` lists the public names. Each is imported on first use, so importing the package stays fast.
This file imports nothing at run time until then.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as type checkers know it, without the import of `typing`, which takes longer than all this
if TYPE_CHECKING:
    from typing import Any

    from langchain_nebula_video.catalog.gateways import Gateway
    from langchain_nebula_video.catalog.models import Model
    from langchain_nebula_video.catalog.registry import register_gateway, register_model
    from langchain_nebula_video.client import AsyncNebulaVideoClient, NebulaVideoClient, quote
    from langchain_nebula_video.errors import (
        AuthenticationError,
        BudgetExceededError,
        DownloadError,
        InvalidInputError,
        InvalidRequestError,
        JournalError,
        ModerationError,
        NebulaVideoError,
        NotSentError,
        QuotaError,
        RateLimitError,
        RefusedError,
        RequestError,
        SetupError,
        SubmissionUnconfirmedError,
        TaskCanceledError,
        TaskError,
        TaskFailedError,
        TaskNotFoundError,
        TaskTimeoutError,
    )
    from langchain_nebula_video.journal import Budget, MemoryJournal, SqlJournal
    from langchain_nebula_video.langchain.runnable import NebulaVideoRunnable
    from langchain_nebula_video.langchain.toolkit import (
        NebulaGetVideoTool,
        NebulaQuoteVideoTool,
        NebulaSubmitVideoTool,
        NebulaVideoToolkit,
    )
    from langchain_nebula_video.langchain.tools import NebulaVideoTool
    from langchain_nebula_video.media.limits import ImageLimits
    from langchain_nebula_video.schema import Cost, Task, TaskStatus, Video, VideoProgress, VideoRequest

_NAMES_BY_MODULE = {
    "client": ("AsyncNebulaVideoClient", "NebulaVideoClient", "quote"),
    "errors": (
        "AuthenticationError",
        "BudgetExceededError",
        "DownloadError",
        "InvalidInputError",
        "InvalidRequestError",
        "JournalError",
        "ModerationError",
        "NebulaVideoError",
        "NotSentError",
        "QuotaError",
        "RateLimitError",
        "RefusedError",
        "RequestError",
        "SetupError",
        "SubmissionUnconfirmedError",
        "TaskCanceledError",
        "TaskError",
        "TaskFailedError",
        "TaskNotFoundError",
        "TaskTimeoutError",
    ),
    "catalog.gateways": ("Gateway",),
    "journal": ("Budget", "MemoryJournal", "SqlJournal"),
    "catalog.models": ("Model",),
    "media.limits": ("ImageLimits",),
    "catalog.registry": ("register_gateway", "register_model"),
    "langchain.runnable": ("NebulaVideoRunnable",),
    "schema": ("Cost", "Task", "TaskStatus", "Video", "VideoProgress", "VideoRequest"),
    "langchain.toolkit": ("NebulaGetVideoTool", "NebulaQuoteVideoTool", "NebulaSubmitVideoTool", "NebulaVideoToolkit"),
    "langchain.tools": ("NebulaVideoTool",),
}
_MODULE_OF = {name: module for module, names in _NAMES_BY_MODULE.items() for name in names}

__all__ = [
    "AsyncNebulaVideoClient",
    "AuthenticationError",
    "Budget",
    "BudgetExceededError",
    "Cost",
    "DownloadError",
    "Gateway",
    "ImageLimits",
    "InvalidInputError",
    "InvalidRequestError",
    "JournalError",
    "MemoryJournal",
    "Model",
    "ModerationError",
    "NebulaGetVideoTool",
    "NebulaQuoteVideoTool",
    "NebulaSubmitVideoTool",
    "NebulaVideoClient",
    "NebulaVideoError",
    "NebulaVideoRunnable",
    "NebulaVideoTool",
    "NebulaVideoToolkit",
    "NotSentError",
    "QuotaError",
    "RateLimitError",
    "RefusedError",
    "RequestError",
    "SetupError",
    "SqlJournal",
    "SubmissionUnconfirmedError",
    "Task",
    "TaskCanceledError",
    "TaskError",
    "TaskFailedError",
    "TaskNotFoundError",
    "TaskStatus",
    "TaskTimeoutError",
    "Video",
    "VideoProgress",
    "VideoRequest",
    "quote",
    "register_gateway",
    "register_model",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version  # 40 ms that most imports do not need

        return version("langchain-nebula-video")
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
