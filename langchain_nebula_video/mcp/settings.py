"""The options of the server besides those of the clients."""
# Annotations are not postponed here: pydantic reads them.

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.lifecycle.factory import LifecycleOptions
from langchain_nebula_video.lifecycle.options import ClientOptions

__all__ = ["Http", "ServerOptions", "ServerSettings", "read_settings"]

_MIN_TOKEN = 16
_LEAST_REPEAT_WINDOW = 3600.0
"""Seconds. A client that has given up on a call may ask again much later."""


class ServerOptions(ClientOptions, total=False):
    """The keywords of `create_server`."""

    confirm: Literal["auto", "always", "never"]
    links: Literal["auto", "always", "never"]
    max_wait: float | None


class ServerSettings(BaseModel):
    """How the server asks, links and waits."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    confirm: Literal["auto", "always", "never"] = "auto"
    """Whether a person is asked for consent with the price, by MCP's elicitation. `auto`: if the client can ask; if it
    cannot, only a `budget` allows paying. `always`: a client that cannot ask gets no video. `never`: nobody is asked.
    """
    links: Literal["auto", "always", "never"] = "auto"
    """Whether a result has the video as a resource link. `auto`: for clients that tell their name. Adapters for agents
    tell none: they hand a link to the language model as a file, and most models refuse a video."""
    max_wait: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Seconds after which the tool that waits returns the task instead of the video. `None`: the timeout of the task.
    """


class Http(BaseModel):
    """Where a server listens for streamable HTTP, and whom it lets in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(default=8789, ge=0, le=65535)
    """0 takes a free one."""
    token: str = Field(min_length=_MIN_TOKEN, repr=False)
    """What clients send as `Authorization: Bearer …`."""
    allow_hosts: tuple[str, ...] = ()
    """Names by which the server may be addressed, besides `localhost`, `host` and addresses in digits."""
    allow_origins: tuple[str, ...] = ()
    """Origins of web pages that may speak to the server. All others are refused."""


def read_settings(options: Mapping[str, Any]) -> tuple[ServerSettings, LifecycleOptions]:
    """Split the keywords into those of the server and those of its client.

    Raises:
        InvalidRequestError: one of them is not valid.
    """
    own = {name: value for name, value in options.items() if name in ServerSettings.model_fields}
    try:
        settings = ServerSettings(**own)
    except ValidationError as error:
        raise InvalidRequestError(
            "; ".join(f"{item['loc'][0]}: {item['msg']}" for item in error.errors(include_url=False)) + ".",
            hint="Correct the option and try again.",
        ) from None
    client = LifecycleOptions(**{name: value for name, value in options.items() if name not in own})
    if client.repeat_window is None:
        longest = client.timeout or client.offer().model.timeout
        client = client.model_copy(update={"repeat_window": _window(longest)})
    return settings, client


def _window(longest: float) -> float:
    """Return for how long an identical call joins the first one: until that one is over, and an hour at least."""
    return max(_LEAST_REPEAT_WINDOW, 2 * longest)
