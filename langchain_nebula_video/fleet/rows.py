"""Rows of a list as items: checked, priced, and with the key of the journal. Nothing is sent.

A row that differs from others in its prompt and in the https address of its image alone is checked by a short way: the
rest of it is checked once for all of them. Every other row is checked as before paying.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from langchain_nebula_video.catalog.offers import Offer, build_request
from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.lifecycle.arguments import check_key
from langchain_nebula_video.lifecycle.options import Options
from langchain_nebula_video.lifecycle.orders import Order, content_key, content_text, make_order
from langchain_nebula_video.media.fitting import MAX_INPUT_BYTES
from langchain_nebula_video.media.images import prepare_image
from langchain_nebula_video.media.names import image_name
from langchain_nebula_video.media.urls import is_local_name, is_loopback
from langchain_nebula_video.schema import VideoRequest, is_encodable

__all__ = [
    "RETRY_MARK",
    "BrokenRow",
    "Item",
    "Planner",
    "StoredImage",
    "has_local_images",
    "open_images",
    "place_of",
    "stored_digests",
]

KEY, TAG, PLACE = "key", "tag", "place"
"""What a row may have besides the fields of a request: a key of one's own, anything to be handed back with the result,
and where the row comes from."""
RETRY_MARK = "#attempt-"
"""Between a key and the number of a later attempt: no key of one's own has it."""
_IMAGES = ("image", "last_image")
_REFERENCES = "reference_images"
_STORED, _NAME, _FILE = "stored", "name", "file"
_OF_EACH_ROW = frozenset({"prompt", "image", KEY, TAG, PLACE})
_PROBE = "https://example.com/image.jpg"
"""Stands for an image that is not read now."""
_MARK = "a prompt in its place"
_PLAIN_ADDRESS = re.compile(r"https://([a-z0-9.-]+)/[\w./~%+-]*", re.ASCII)
"""An address that is its own fingerprint: without port, user, query and fragment."""
_PLAIN_HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+", re.ASCII)
_FETCHED = frozenset({"http", "https", "oss", "data"})
_URL = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)://")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MADE_KEY = re.compile(r"batch-[0-9a-f]{32}")
"""A key as `content_key` makes it."""
_LONGEST_PROMPT = 100_000
_LONGEST_KEY = 2000
"""Bytes. PostgreSQL's indexes, also that of the engine's jobs, take 2,700."""
_encode = json.encoder.encode_basestring_ascii
_dumps = json.JSONEncoder(separators=(",", ":"), default=str, allow_nan=False).encode
_TAGS: Mapping[type, Callable[[Any], str]] = {str: _encode, int: int.__repr__}
"""Quick ways to the same JSON as that of `_dumps`."""


@dataclass(frozen=True, slots=True)
class StoredImage:
    """The bytes of a local image, which go into the database with the item."""

    digest: str
    data: bytes = field(repr=False)


@dataclass(slots=True)  # a frozen one takes four times as long to make
class Item:
    """One video to make."""

    key: str
    request: str
    """Fields of a `VideoRequest`, as JSON."""
    usd: Decimal
    """What it will cost; 0 if no price is known."""
    tag: str | None = None
    """As JSON."""
    images: tuple[StoredImage, ...] = ()
    content: str | None = None
    """If it has a key of its own: the key that it would have without."""
    place: str | None = None
    """If it has a key of its own: where the row comes from."""


@dataclass(frozen=True, slots=True)
class BrokenRow:
    """A row that cannot become a video."""

    place: str
    reason: str


@dataclass(frozen=True, slots=True)
class _Shape:
    """What rows have in common that differ in prompt and image address alone."""

    request_head: str
    """The other fields, as the beginning of a JSON object."""
    usd: Decimal
    content: tuple[str, ...]
    """The text of which keys are made, cut where prompt and address stand."""
    offer: Offer
    max_prompt: int
    """So many characters of a prompt are read, if they are plain ones."""
    max_wide_prompt: int
    """So many are read in any case."""
    hosts: dict[str, bool] = field(default_factory=dict)
    """Whether the gateway fetches from a host."""


class Planner:
    """Makes items of rows.

    Args:
        options: The client's options: gateway, address, model, prices, ratio, `fit`.
        defaults: Fields of a request that hold where a row does not set them.
        by_path: Leave local images where they are: every worker reads them under the same path. Their path stands in
            the key, and not their content. Otherwise their bytes go into the database.
        has_budget: Whether the batch has a budget, so that every row needs a price.
    """

    def __init__(
        self,
        options: Options,
        defaults: Mapping[str, Any] | None = None,
        *,
        by_path: bool = False,
        has_budget: bool = False,
    ) -> None:
        self._options = options
        self._defaults = dict(defaults or {})
        self._by_path = by_path
        self._has_budget = has_budget
        host = urlsplit(options.resolve_base_url()).hostname or ""
        self._local_names = is_local_name(host)
        self._play = is_loopback(host)
        self._find_shape = lru_cache(maxsize=1000)(self._make_shape)

    def plan(self, rows: Iterable[Any], first: int = 1) -> Iterator[Item | BrokenRow]:
        """Yield an item for each row, or why it cannot be one.

        Args:
            rows: Mappings with the fields of a `VideoRequest`, and `key`, `tag`, `place`; or `VideoRequest`s; or
                `BrokenRow`s, which whoever read them could not read.
            first: The number of the first row, for broken ones without a place.
        """
        for number, row in enumerate(rows, start=first):
            try:
                item = self._short_way(row) if type(row) is dict else None
                yield item or (row if isinstance(row, BrokenRow) else self._long_way(row, number))
            except InvalidRequestError as error:
                yield BrokenRow(place_of(row, number), " ".join(filter(None, (error.what, error.hint))))

    # --- the short way ---

    def _short_way(self, row: dict[str, Any]) -> Item | None:
        """Return the item of a row that is plainly right; `None`: it needs a closer look."""
        prompt, image = row.get("prompt", self._defaults.get("prompt")), row.get("image")
        found = _PLAIN_ADDRESS.fullmatch(image) if type(image) is str else None
        if found is None or type(prompt) is not str or not prompt or row.get(KEY) is not None:
            return None
        try:
            shape = self._find_shape(
                tuple([(name, row[name], type(row[name])) for name in row if name not in _OF_EACH_ROW])
            )
        except (TypeError, InvalidRequestError):  # a value that is no text or number; else the long way tells why
            return None
        if prompt.isspace() or len(prompt) > shape.max_prompt:
            return None
        if not prompt.isascii() and (len(prompt) > shape.max_wide_prompt or not is_encodable(prompt)):
            return None
        host = found[1]
        if host not in shape.hosts:
            shape.hosts[host] = self._may_fetch(host, shape.offer)
        if not shape.hosts[host]:
            return None
        tag, words = row.get(TAG), _encode(prompt)
        before, between, after = shape.content
        return Item(
            content_key(f'{before}{words}{between}"url:{image}"{after}'),
            f'{shape.request_head}"prompt":{words},"image":"{image}"}}',
            shape.usd,
            None if tag is None else _TAGS.get(type(tag), _tag_text)(tag),
        )

    def _make_shape(self, rest: tuple[tuple[str, Any, type], ...]) -> _Shape:
        """Make the shape of rows with these other fields. Their types count: `1` and `True` are equal."""
        given = {**self._defaults, **{name: value for name, value, _ in rest}}
        if any(given.get(name) for name in ("last_image", _REFERENCES)):  # they belong into the key, and may be local
            raise InvalidRequestError("Images besides the first frame are looked at one by one.", hint="")
        order = self._check(build_request({**given, "prompt": _MARK, "image": _PROBE}, {}))
        fields = {name: value for name, value in given.items() if name not in _OF_EACH_ROW}
        head = _dumps(fields)[:-1] + ("," if fields else "")
        text = self._content(order, {"image": [f"url:{_PROBE}"]})
        before, rest_of_it = text.split(_encode(_MARK))
        between, after = rest_of_it.split(f'"url:{_PROBE}"')
        model = order.offer.model
        most = model.max_prompt or _LONGEST_PROMPT
        wide = most // max(1, model.cjk_weight)
        return _Shape(head, order.cost.usd or Decimal(0), (before, between, after), order.offer, most, wide)

    def _may_fetch(self, host: str, offer: Offer) -> bool:
        if _PLAIN_HOST.fullmatch(host) is None:
            return False
        try:
            prepare_image(f"https://{host}/x.jpg", offer.images, local_names=self._local_names)
        except InvalidRequestError:
            return False
        return True

    # --- the long way ---

    def _long_way(self, row: Any, number: int) -> Item:
        given, key, tag = self._split(row)
        _check_own_key(key)
        request = build_request({**self._defaults, **given}, {})
        images: dict[str, list[Any]] = {
            name: [image] for name in _IMAGES if (image := getattr(request, name)) is not None
        }
        if request.reference_images:
            images[_REFERENCES] = list(request.reference_images)
        held = {name: [self._hold(image) for image in each] for name, each in images.items()}
        order = self._check(_with_images(request, {name: [one.probe for one in each] for name, each in held.items()}))
        stored: dict[str, StoredImage] = {}
        specs: dict[str, list[Any]] = {}
        digests: dict[str, list[str]] = {}
        for name, each in held.items():
            for one, wire in zip(each, order.images[name], strict=True):
                spec: Any = one.spec
                digest = one.digest or wire.digest
                if spec is None and wire.data is not None:  # what is only in this process
                    data = one.data if one.data is not None else wire.data
                    stored[digest] = StoredImage(digest, data)
                    spec = {_STORED: digest, _NAME: one.name}
                specs.setdefault(name, []).append(wire.url if spec is None else spec)
                digests.setdefault(name, []).append(digest)
        fields = request.model_dump(mode="json", exclude={*_IMAGES, _REFERENCES}, exclude_defaults=True)
        fields |= {name: each if name == _REFERENCES else each[0] for name, each in specs.items()}
        content = content_key(self._content(order, digests))
        if key and key != content and _MADE_KEY.fullmatch(key):
            raise InvalidRequestError(f"The key {key} is made of another video.", hint="Give a key of your own.")
        return Item(
            key or content,
            _dumps(fields),
            order.cost.usd or Decimal(0),
            None if tag is None else _tag_text(tag),
            tuple(stored.values()),
            content if key else None,
            place_of(row, number) if key else None,
        )

    def _split(self, row: Any) -> tuple[Any, str | None, Any]:
        if isinstance(row, VideoRequest):
            return {name: getattr(row, name) for name in row.model_fields_set}, None, None
        if not isinstance(row, Mapping):
            raise InvalidRequestError(
                f"A {type(row).__name__} is no row.", hint="Give a dict of a request's fields, or a VideoRequest."
            )
        given = {name: value for name, value in row.items() if name not in {KEY, TAG, PLACE}}
        return given, row.get(KEY), row.get(TAG)

    def _hold(self, image: Any) -> _Held:
        """Read a local image, or leave it where every worker finds it."""
        if isinstance(image, str) and _is_in_store(image):
            return _Held(_PROBE, {_FILE: image}, digest=f"file:{image}")
        if isinstance(image, Path):
            path = image.expanduser().absolute()
            if self._by_path:
                return _Held(_PROBE, {_FILE: str(path)}, digest=f"file:{path}")
            return _read(path)
        return _Held(image, None, name=image_name(image))

    def _check(self, request: VideoRequest) -> Order:
        order = make_order(
            request,
            self._options.offer(request.model),
            self._options.current_group_ratio(),
            self._options.image_folder,
            local_names=self._local_names,
            fit=self._options.fit,
        )
        if self._has_budget and order.cost.usd is None:
            raise InvalidRequestError(
                f"The batch has a budget, and no price of {order.offer.model.name} is known here.",
                hint="Say what a second of video costs you, or leave the budget out.",
            )
        return order

    def _content(self, order: Order, digests: Mapping[str, list[str]]) -> str:
        return content_text(self._options.gateway, order.request, digests, play=self._play)


def place_of(row: Any, number: int) -> str:
    """Return where a row comes from."""
    place = row.get(PLACE) if isinstance(row, Mapping) else None
    return str(place or f"row {number}")


def _check_own_key(key: object) -> None:
    check_key(key)
    if isinstance(key, str) and (_CONTROL.search(key) or RETRY_MARK in key or len(key.encode()) > _LONGEST_KEY):
        raise InvalidRequestError(
            f"The key {key[:80]!r} cannot be one in a fleet.",
            hint=f"A key has no control characters, no {RETRY_MARK!r}, and at most {_LONGEST_KEY:,} bytes.",
        )


def _tag_text(tag: Any) -> str:
    """Return a tag as JSON.

    Raises:
        InvalidRequestError: JSON has no such value: NaN, or a name that is no text.
    """
    try:
        return _dumps(tag)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(f"The tag cannot be written as JSON: {error}.", hint="") from None


@dataclass(frozen=True, slots=True)
class _Held:
    """An image of a row."""

    probe: Any
    """What is checked in its place."""
    spec: Mapping[str, str | None] | None
    """What stands for it in the item; `None`: its address, or its bytes."""
    digest: str | None = None
    name: str | None = None
    data: bytes | None = field(default=None, repr=False)


def _read(path: Path) -> _Held:
    try:
        if path.stat().st_size > MAX_INPUT_BYTES:
            raise InvalidRequestError(f"{path} has more than {MAX_INPUT_BYTES:,} bytes.", hint="Give a smaller image.")
        data = path.read_bytes()
    except OSError as error:
        raise InvalidRequestError(f"{path} cannot be read: {error.strerror or error}.", hint="") from None
    return _Held(data, None, name=path.name, data=data)


def _with_images(request: VideoRequest, images: Mapping[str, list[Any]]) -> VideoRequest:
    changed = {name: tuple(each) if name == _REFERENCES else each[0] for name, each in images.items()}
    return request.model_copy(update=changed)


def _is_in_store(image: str) -> bool:
    """Whether a text is the URL of an image in a store that fsspec reaches."""
    found = _URL.match(image)
    return found is not None and found[1].lower() not in _FETCHED


class NamedBytes(io.BytesIO):
    """The bytes of a file that had a name: videos may be named after it."""

    def __init__(self, data: bytes, name: str | None) -> None:
        super().__init__(data)
        self.name = name


def open_images(fields: Mapping[str, Any], load: Callable[[str], bytes]) -> dict[str, Any]:
    """Return the fields of an item's request with its images as a client takes them. It may read files, and may block.

    Args:
        fields: As `Item.request` has them.
        load: Returns the bytes of a stored image, by its digest.

    Raises:
        InvalidRequestError: an image is not there.
    """
    opened = dict(fields)
    for name in (*_IMAGES, _REFERENCES):
        value = fields.get(name)
        if isinstance(value, list):
            opened[name] = [_open(each, load) for each in value]
        elif value is not None:
            opened[name] = _open(value, load)
    return opened


def stored_digests(fields: Mapping[str, Any]) -> list[str]:
    """Return the digests of the stored images of an item's request."""
    given = [fields.get(name) for name in _IMAGES] + list(fields.get(_REFERENCES) or ())
    return [spec[_STORED] for spec in given if isinstance(spec, Mapping) and _STORED in spec]


def has_local_images(fields: Mapping[str, Any]) -> bool:
    """Whether `open_images` has to read something."""
    given = (fields.get(name) for name in (*_IMAGES, _REFERENCES))
    return any(isinstance(value, dict | list) for value in given)


def _open(spec: Any, load: Callable[[str], bytes]) -> Any:
    if not isinstance(spec, Mapping):
        return spec
    if _STORED in spec:
        return NamedBytes(load(spec[_STORED]), spec.get(_NAME))
    where = str(spec[_FILE])
    return _read_remote(where) if _is_in_store(where) else Path(where)


def _read_remote(url: str) -> NamedBytes:
    """Read an image from a store that fsspec reaches."""
    from langchain_nebula_video.saving.stores import open_filesystem  # noqa: PLC0415 an extra

    filesystem, path = open_filesystem(url)
    try:
        with filesystem.open(path, "rb") as file:
            data = file.read(MAX_INPUT_BYTES + 1)
    except OSError as error:
        raise InvalidRequestError(f"{url} cannot be read: {error.strerror or error}.", hint="") from None
    if len(data) > MAX_INPUT_BYTES:
        raise InvalidRequestError(f"{url} has more than {MAX_INPUT_BYTES:,} bytes.", hint="Give a smaller image.")
    return NamedBytes(data, url.rpartition("/")[2])
