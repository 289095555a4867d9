"""The emulator as its users hold it."""

from __future__ import annotations

import itertools
import threading
from decimal import Decimal
from typing import TYPE_CHECKING, Self

from .accounts import Accounts
from .app import build_app
from .clock import Clock
from .dialects.dashscope import prefix_for
from .engine import Engine
from .enums import Region
from .faults.schedule import Faults
from .files import FileStore
from .rate_limits import RateLimiter
from .rendering.cache import VideoCache
from .serving.request_log import RequestLog
from .serving.server import Server
from .serving.signed_urls import UrlSigner
from .serving.state import State
from .serving.uploads import Uploads

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from starlette.applications import Starlette

    from .bill import Bill
    from .clock import SupportsNow
    from .records import AccountRecord, Peaks, RequestRecord, TaskRecord, Violation

DAY = 86_400.0


class Emulator:
    """Nebula's gateway, DashScope and two gateways more, on one port of this machine.

    Example:
        ```python
        with Emulator(speed=50) as emulator:
            print(emulator.url, emulator.api_key)
        ```

    Everything it did can be read back, also after it has stopped. It may be started again.
    """

    def __init__(
        self,
        *,
        speed: float = 1.0,
        host: str = "127.0.0.1",
        port: int = 0,
        api_key: str = "sk-emulator",
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
    ) -> None:
        """Set it up; nothing is opened before `start`.

        Args:
            speed: How many times faster than the real service tasks are done. At 1 a clip of five
                seconds takes one to two minutes. It shortens the work and nothing else: the clock,
                and with it every time in an answer, stays real.
            host: Where to listen.
            port: 0 takes a free one.
            api_key: The first account's key.
            balance: USD in the first account.
            group_ratio: What the first account's prices are multiplied with.
            max_concurrent_tasks: How many tasks an account may have under way; None for any number.
            clock: What tells the time; default: real time. Whatever it is, `Emulator.clock` can be
                paused and advanced.
            url_lifetime: Seconds that a video's address is good for after its task has ended.
            signs_anew: Whether each look at a task gives a new address, good for `url_lifetime` from then on.
            idle_close: Seconds after which the server closes a connection that nothing comes on.
            known_images: Pictures by the address that requests will name them by.
            documented_limits: Whether DashScope's limits are kept: so many submits and queries a
                second, so many tasks of a model worked on at once.
            vidu_query_refusal: 404 or 405 if a Vidu task is to be asked for under ``/v1/videos`` and
                nowhere else; None if the path it was submitted at answers too.

        Raises:
            ValueError: `speed` is not greater than 0, or the refusal is none of these.
        """
        if vidu_query_refusal not in {None, 404, 405}:
            message = f"vidu_query_refusal must be 404, 405 or None, not {vidu_query_refusal}"
            raise ValueError(message)
        self.clock: Clock = _as_clock(clock)
        """What tells the time; it can be paused and advanced."""
        self._state = State(
            clock=self.clock,
            engine=Engine(
                clock=self.clock,
                speed=speed,
                max_concurrent_tasks=max_concurrent_tasks,
                documented_limits=documented_limits,
            ),
            accounts=Accounts(),
            files=FileStore(known_images or {}),
            videos=VideoCache(),
            url_signer=UrlSigner(),
            request_log=RequestLog(self.clock),
            uploads=Uploads(self.clock),
            rate_limiter=RateLimiter(self.clock, enforced=documented_limits),
            vidu_query_refusal=vidu_query_refusal,
            url_lifetime=url_lifetime,
            signs_anew=signs_anew,
        )
        self.faults: Faults = Faults()
        """The faults that are played on requests."""
        self._host = host
        self._port = port
        self._idle_close = idle_close
        self._connection_numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._server: Server | None = None
        self.app: Starlette = build_app(self._state, self.faults)
        """The ASGI app, for tests that drive it without a socket."""
        self.api_key = api_key
        self.add_account(api_key, balance=balance, group_ratio=group_ratio, name="nebula-video-generations-default")

    def start(self) -> Self:
        """Serve in a thread of its own.

        Raises:
            OSError: The port cannot be had.
            RuntimeError: It is running already.
        """
        self._bind().start()
        return self

    def stop(self) -> None:
        """Break off whatever is under way; does nothing if it is not running."""
        with self._lock:
            server, self._server = self._server, None
        if server is not None:
            server.stop()
        self._state.videos.close()

    def serve_forever(self, ready: Callable[[str], object] = lambda _: None) -> None:
        """Serve in this thread until `stop` is called, SIGINT or SIGTERM.

        Args:
            ready: Called with the address once the port is bound.

        Raises:
            OSError: The port cannot be had.
            RuntimeError: It is running already.
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
        """The base address.

        Raises:
            RuntimeError: It is not running.
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
    ) -> None:
        """Add an account with a key of its own.

        Args:
            api_key: The key.
            balance: In the account's currency: yuan in Beijing, else US dollars.
            group_ratio: What its prices are multiplied with.
            name: What it is called in records; default: a number.
            region: ``beijing`` or ``singapore`` for an account of DashScope's own, which is good there
                alone; None for one of the gateways, good at all of them.

        Raises:
            ValueError: The key or the name is taken, or there is no such region.
        """
        self._state.add_account(
            api_key,
            balance=balance,
            group_ratio=group_ratio,
            name=name,
            region=region,
        )

    def dashscope_url(self, region: Region | str = Region.BEIJING) -> str:
        """What stands for ``https://dashscope.aliyuncs.com`` or its Singapore sibling; ``/api/v1/...`` follows.

        Raises:
            ValueError: There is no such region.
            RuntimeError: It is not running.
        """
        return self.url + prefix_for(Region(region))

    @property
    def passthrough_url(self) -> str:
        """What stands for a gateway's address with its ``/alibailian``; ``/api/v1/...`` follows.

        Raises:
            RuntimeError: It is not running.
        """
        return self.url + prefix_for(None)

    def host_image(self, content: bytes) -> str:
        """Serve a picture; the address to submit it by."""
        return self._base_url() + self._state.files.host(content)

    def host_audio(self, content: bytes) -> str:
        """Serve a sound; the address to submit it by."""
        return self._base_url() + self._state.files.host(content)

    @property
    def speed(self) -> float:
        """How many times faster than the real service tasks are done; those under way follow a change."""
        return self._state.engine.speed

    @speed.setter
    def speed(self, speed: float) -> None:
        self._state.engine.speed = speed

    @property
    def tasks(self) -> tuple[TaskRecord, ...]:
        """Every task that was accepted, in order."""
        return self._state.engine.records()

    @property
    def bill(self) -> Bill:
        """Everything that was charged."""
        return self._state.engine.bill()

    @property
    def balance(self) -> Decimal:
        """What is left in the first account, which is a gateway's: USD."""
        return self.accounts[0].balance

    @property
    def accounts(self) -> tuple[AccountRecord, ...]:
        """Every account, in the order they were added."""
        self._state.engine.settle()
        return tuple(account.record() for account in self._state.accounts)

    @property
    def requests(self) -> tuple[RequestRecord, ...]:
        """Every request, in order of arrival."""
        return self._state.request_log.records()

    @property
    def peaks(self) -> Peaks:
        """The most requests that were ever under way at one moment."""
        return self._state.request_log.peaks()

    @property
    def violations(self) -> tuple[Violation, ...]:
        """Everything done that a well-behaved client never does."""
        return self._state.request_log.violations()

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
                on_stop=self._state.videos.close,
            )
            return self._server

    def _base_url(self) -> str:
        # Without a server the host is only a name: files are found by their path.
        return "http://127.0.0.1" if self._server is None else self.url


def _as_clock(given: SupportsNow | None) -> Clock:
    if given is None or isinstance(given, Clock):
        return given or Clock()
    return Clock(given.now(), source=given.now)


def _connectable_host(host: str) -> str:
    """The name to call a server by that listens on `host`."""
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - not bound here
    host = everywhere.get(host, host)
    return f"[{host}]" if ":" in host else host
