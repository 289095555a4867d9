"""Images of a row besides its first frame: in the key, and in the item as every worker finds them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from langchain_nebula_video.fleet.rows import Item, Planner
from langchain_nebula_video.lifecycle.factory import LifecycleOptions
from tests.conftest import png

FIRST = "https://example.com/a.jpg"
OPTIONS = LifecycleOptions(gateway="dashscope", model="wan2.2-kf2v-flash", api_key="sk-x")  # type: ignore[arg-type]


def items(rows: list[dict[str, Any]], **defaults: Any) -> list[Item]:
    found = list(Planner(OPTIONS, {"prompt": "x", **defaults}).plan(rows))
    assert all(isinstance(each, Item) for each in found), found
    return [each for each in found if isinstance(each, Item)]


def test_rows_that_differ_in_their_last_image_alone_are_two_videos() -> None:
    one, other, again = items(
        [{"image": FIRST, "last_image": f"https://example.com/{name}.jpg"} for name in ("b", "c", "b")]
    )
    assert one.key == again.key != other.key


def test_a_last_image_for_all_rows_is_read_here_and_not_by_its_name_on_the_worker(tmp_path: Path) -> None:
    path = tmp_path / "last.png"
    path.write_bytes(png(400, 400))
    (item,) = items([{"image": FIRST}], last_image=path)
    assert str(path) not in item.request
    assert json.loads(item.request)["last_image"]["stored"] == item.images[0].digest
    path.write_bytes(png(500, 400))
    (changed,) = items([{"image": FIRST}], last_image=path)
    assert changed.key != item.key
