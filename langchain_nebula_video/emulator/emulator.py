"""The public class of the emulator."""

from __future__ import annotations

import itertools
import threading
from decimal import Decimal
from typing import TYPE_CHECKING, Self

from .accounts import Accounts
from .app import build_app
from .behaviour import play_from
from .clock import Clock
from .dialects import newapi, videos
from .dialects.dashscope import prefix_for
from .engine import Engine
from .enums import Behaviour, Region
from .faults.schedule import Faults
from .files import FileStore
from .rate_limits import RateLimiter
from .rendering.cache import VideoCache
from .serving.request_log import RequestLog
from .serving.server import Server
from .serving.signed_urls import UrlSigner
from .serving.state import State
from .serving.uploads import Uploads
from .serving.works import picture_of, video_of
from .table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType

    from starlette.applications import Starlette

    from .bill import Bill
    from .clock import SupportsNow
    from .records import AccountRecord, Peaks, RequestRecord, TaskRecord, Violation

DAY = 86_400.0


class Emulator:
    """Nebula's gateway, DashScope in five regions and the other gateways, on one port of this machine.

    Example:
        ```python
        with Emulator(speed=50) as emulator:
            print(emulator.url, emulator.api_key)
        ```

    You can read everything it did back, also after it has stopped. You can start it again.
    """

    def __init__(
        self,
        *,
        speed: float = 1.0,
        host: str = "127.0.0.1",
        port: int = 0,
        api_key: str = "sk-emulator",
        access_token: str = "console-emulator",  # noqa: S107 - play money
        balance: Decimal | str | int = Decimal(100),
        group_ratio: Decimal | str | int = Decimal(1),
        max_concurrent_tasks: int | None = None,
        clock: SupportsNow | None = None,
        url_lifetime: float = DAY,
        signs_anew: bool = False,
        idle_close: float = 75.0,
        known_images: Mapping[str, bytes] | None = None,
        documented_limits: bool = False,
        vidu_query_refusal: int | None = None,
        dashscope_list_field: str = "data",
        behaviour: Behaviour | str = Behaviour.PAGE,
        bytes_accepted: bool = False,
        site_discount: Decimal | str | int = Decimal(1),
    ) -> None:
        """Configure the emulator; nothing is opened before `start`.

        Args:
            speed: How many times faster than the real service tasks run. At 1 a clip of five seconds
                takes one to two minutes. Only the tasks are faster: the clock, and every time in a
                response, stays real.
            host: The address to listen on.
            port: The port to listen on; 0 takes a free one.
            api_key: The API key of the first account.
            access_token: What opens the console's free routes for the first account, whose user id is 1.
            balance: The balance of the first account, in USD.
            group_ratio: The factor that multiplies the first account's prices.
            max_concurrent_tasks: How many unfinished tasks an account may have; None for no limit.
            clock: The source of time; default: real time. `Emulator.clock` can be paused and advanced
                with any source.
            url_lifetime: How many seconds a video's URL stays valid after its task has ended.
            signs_anew: Whether each query returns a new URL, valid for `url_lifetime` from then on.
            idle_close: After how many idle seconds the server closes a connection.
            known_images: Files by the URL that requests name them by.
            documented_limits: Whether to enforce DashScope's limits: submits and queries a second, and
                parallel tasks of a model. Also those of Nebula's free routes.
            vidu_query_refusal: 404 or 405 if only ``/v1/videos`` answers queries for Vidu tasks; None if
                the path of the submit answers too.
            dashscope_list_field: Where the list of tasks is: ``data``, as on the vendor's page, or ``tasks``,
                as version 2 of its SDK reads it.
            behaviour: What Nebula is played from: ``page`` is the vendor's page, ``source`` the gateway's
                published code, ``source-older`` the same code a month before.
            bytes_accepted: With ``source``: whether Alibaba takes an image as the bare base64 that the
                gateway makes of a `data:` URI. No page documents that, so the default refuses it.
            site_discount: With ``source``: the factor of the site on every price.

        Raises:
            ValueError: `speed` is not greater than 0, or `vidu_query_refusal`, `dashscope_list_field` or
                `behaviour` has another value.
        """
        if vidu_query_refusal not in {None, 404, 405}:
            message = f"vidu_query_refusal must be 404, 405 or None, not {vidu_query_refusal}"
            raise ValueError(message)
        if dashscope_list_field not in {"data", "tasks"}:
            message = f"dashscope_list_field must be data or tasks, not {dashscope_list_field}"
            raise ValueError(message)
        self.clock: Clock = _as_clock(clock)
        """The emulator's clock; it can be paused and advanced."""
        self._state = State(
            clock=self.clock,
            table=Table(),
            behaviour=Behaviour.PAGE,
            bytes_accepted=bytes_accepted,
            site_discount=Decimal(site_discount),
            engine=Engine(
                clock=self.clock,
                speed=speed,
                max_concurrent_tasks=max_concurrent_tasks,
                documented_limits=documented_limits,
            ),
            accounts=Accounts(),
            files=FileStore(known_images or {}),
            video_cache=VideoCache(),
            url_signer=UrlSigner(),
            request_log=RequestLog(self.clock),
            uploads=Uploads(self.clock),
            rate_limiter=RateLimiter(self.clock, enforced=documented_limits),
            vidu_query_refusal=vidu_query_refusal,
            dashscope_list_field=dashscope_list_field,
            url_lifetime=url_lifetime,
            signs_anew=signs_anew,
        )
        self.behaviour = behaviour
        self.faults: Faults = Faults()
        """The faults to inject into requests."""
        self._host = host
        self._port = port
        self._idle_close = idle_close
        self._connection_numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._server: Server | None = None
        self.app: Starlette = build_app(self._state, self.faults)
        """The ASGI app, for tests without a socket."""
        self.api_key = api_key
        self.access_token = access_token
        self.add_account(
            api_key,
            balance=balance,
            group_ratio=group_ratio,
            name="nebula-video-generations-default",
            access_token=access_token,
        )

    def start(self) -> Self:
        """Serve in a background thread.

        Raises:
            OSError: The port is not available.
            RuntimeError: The emulator is already running.
        """
        self._bind().start()
        return self

    def stop(self) -> None:
        """Abort all requests and stop. Does nothing if the emulator is not running."""
        with self._lock:
            server, self._server = self._server, None
        if server is not None:
            server.stop()
        self._state.video_cache.close()

    def serve_forever(self, ready: Callable[[str], object] = lambda _: None) -> None:
        """Serve in this thread until `stop`, SIGINT or SIGTERM.

        Args:
            ready: Called with the URL once the port is bound.

        Raises:
            OSError: The port is not available.
            RuntimeError: The emulator is already running.
        """
        server = self._bind()
        try:
            server.serve_in_this_thread(lambda: ready(self.url))
        finally:
            self.stop()

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    @property
    def url(self) -> str:
        """The base URL.

        Raises:
            RuntimeError: The emulator is not running.
        """
        server = self._server
        if server is None:
            message = "the emulator is not running: call start(), or use it in a with statement"
            raise RuntimeError(message)
        return f"http://{_connectable_host(self._host)}:{server.port}"

    def add_account(
        self,
        api_key: str,
        *,
        balance: Decimal | str | int = Decimal(100),
        group_ratio: Decimal | str | int = Decimal(1),
        name: str | None = None,
        region: Region | str | None = None,
        access_token: str = "",
    ) -> None:
        """Add an account with its own API key.

        Args:
            api_key: The API key.
            balance: The balance, in yuan for Beijing, else in US dollars.
            group_ratio: The factor that multiplies its prices.
            name: Its name in records; default: a numbered name.
            region: Such as ``beijing`` for a DashScope account, valid in that region only; None for a
                gateway's account, valid at every gateway.
            access_token: What opens the console's free routes; empty for nothing.

        Raises:
            ValueError: The key, the name or the access token is already in use, or the region is unknown.
        """
        self._state.add_account(
            api_key,
            balance=balance,
            group_ratio=group_ratio,
            name=name,
            region=region,
            access_token=access_token,
        )

    def add_key(
        self,
        api_key: str,
        *,
        account: str | None = None,
        name: str | None = None,
        models: Iterable[str] | None = None,
        quota: Decimal | str | int | None = None,
    ) -> None:
        """Add a further key to an account.

        Args:
            api_key: The API key.
            account: The account's name; default: the first account's.
            name: The key's own name in answers and logs; default: the key's last six characters.
            models: The models that it may use; None for all.
            quota: The key's own limit in US dollars; None for none.

        Raises:
            ValueError: The key is already in use, or there is no such account.
        """
        self._state.add_key(api_key, account=account, name=name, models=models, quota=quota)

    def dashscope_url(self, region: Region | str = Region.BEIJING) -> str:
        """Return the replacement for ``https://dashscope.aliyuncs.com`` or its Singapore counterpart.

        Append ``/api/v1/...`` to it.

        Raises:
            ValueError: The region is unknown.
            RuntimeError: The emulator is not running.
        """
        return self.url + prefix_for(Region(region))

    @property
    def passthrough_url(self) -> str:
        """The replacement for a gateway's URL with its ``/alibailian``.

        Append ``/api/v1/...`` to it.

        Raises:
            RuntimeError: The emulator is not running.
        """
        return self.url + prefix_for(None)

    @property
    def newapi_url(self) -> str:
        """The base URL of a stock new-api.

        Raises:
            RuntimeError: The emulator is not running.
        """
        return self.url + newapi.PREFIX

    @property
    def videos_url(self) -> str:
        """The base URL of a server of OpenAI's ``/v1/videos``.

        Raises:
            RuntimeError: The emulator is not running.
        """
        return self.url + videos.PREFIX

    def host_image(self, content: bytes) -> str:
        """Serve an image and return its URL for a submit."""
        return self._base_url() + self._state.files.host(content)

    def host_audio(self, content: bytes) -> str:
        """Serve an audio file and return its URL for a submit."""
        return self._base_url() + self._state.files.host(content)

    @property
    def speed(self) -> float:
        """How many times faster than the real service tasks run. A change affects unfinished tasks too."""
        return self._state.engine.speed

    @speed.setter
    def speed(self, speed: float) -> None:
        self._state.engine.speed = speed

    @property
    def behaviour(self) -> Behaviour:
        """What Nebula is played from. A change holds from now on; tasks keep their costs."""
        return self._state.behaviour

    @behaviour.setter
    def behaviour(self, behaviour: Behaviour | str) -> None:
        play_from(self._state, Behaviour(behaviour))

    @property
    def tasks(self) -> tuple[TaskRecord, ...]:
        """Every accepted task, in order."""
        return self._state.engine.records()

    @property
    def bill(self) -> Bill:
        """Everything that was charged."""
        return self._state.engine.bill()

    @property
    def balance(self) -> Decimal:
        """The balance of the first account, which is a gateway's: USD."""
        return self.accounts[0].balance

    @property
    def accounts(self) -> tuple[AccountRecord, ...]:
        """Every account, in the order of addition."""
        self._state.engine.settle()
        return tuple(account.record() for account in self._state.accounts)

    @property
    def requests(self) -> tuple[RequestRecord, ...]:
        """Every request, in order of arrival."""
        return self._state.request_log.records()

    @property
    def peaks(self) -> Peaks:
        """The highest numbers of requests in flight at one moment."""
        return self._state.request_log.peaks()

    @property
    def violations(self) -> tuple[Violation, ...]:
        """Everything a client did that a correct client never does."""
        return self._state.request_log.violations()

    def without_keys(self, text: str) -> str:
        """Return `text` with ``***`` for each API key and access token, so that it can be shown."""
        return self._state.accounts.without_keys(text)

    def picture_of(self, task_id: str) -> bytes | None:
        """Return the image file that a task's video begins with; None if the task has none."""
        return picture_of(self._state, task_id)

    async def video_of(self, task_id: str) -> bytes | None:
        """Return a task's MP4 file, rendered at the first call; None if the task has not succeeded."""
        return await video_of(self._state, task_id)

    def _bind(self) -> Server:
        with self._lock:
            if self._server is not None:
                message = "the emulator is running already"
                raise RuntimeError(message)
            self._server = Server(
                self.app,
                host=self._host,
                port=self._port,
                idle_close=self._idle_close,
                connection_numbers=self._connection_numbers,
                on_stop=self._state.video_cache.close,
            )
            return self._server

    def _base_url(self) -> str:
        # Without a server any host works, because hosted files are found by path.
        return "http://127.0.0.1" if self._server is None else self.url


def _as_clock(source: SupportsNow | None) -> Clock:
    if source is None or isinstance(source, Clock):
        return source or Clock()
    return Clock(source.now(), source=source.now)


def _connectable_host(host: str) -> str:
    """Return the host name that connects to a server listening on `host`."""
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - not bound here
    host = everywhere.get(host, host)
    return f"[{host}]" if ":" in host else host
