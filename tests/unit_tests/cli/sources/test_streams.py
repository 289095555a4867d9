"""Tables are read as a stream: of any size, packed or not, from a file or standard input."""

from __future__ import annotations

import gzip
import importlib
import io
import itertools
import json
import os
import re
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from langchain_nebula_video.cli.sources.reading import TableFormat, iterate_sources
from langchain_nebula_video.cli.sources.rows import COLUMNS, BrokenRow, Row
from langchain_nebula_video.errors import InvalidRequestError
from tests.tables import each_row

CSV = 'image,prompt\na.jpg,"two\nlines"\nb.jpg,one\n'
JSONL = '{"image": "a.jpg", "prompt": "two\\nlines"}\n\n{"image": "b.jpg", "prompt": "one"}\n'
PROMPTS = ["two\nlines", "one"]


def compress_with_zstd(data: bytes) -> bytes:
    module = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    packed: bytes = importlib.import_module(module).compress(data)
    return packed


PACKERS: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.compress, ".zst": compress_with_zstd}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@contextmanager
def standard_input(file: io.BufferedIOBase) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        text = io.TextIOWrapper(file)  # type: ignore[type-var]
        patch.setattr(sys, "stdin", text)
        yield
        text.detach()


def read(
    *sources: str, columns: tuple[str, ...] = COLUMNS, form: TableFormat | None = None, strict: bool = False
) -> list[Row | BrokenRow]:
    return list(iterate_sources(sources, columns=columns, stdin_format=form, strict=strict))


def prompts(found: list[Row | BrokenRow]) -> list[str]:
    assert all(isinstance(each, Row) for each in found), found
    return [each.fields["prompt"] for each in found if isinstance(each, Row)]


def write_bytes(name: str, data: bytes) -> str:
    Path(name).write_bytes(data)
    return name


@each_row("packed", PACKERS)
@each_row(("name", "text"), [("shots.csv", CSV), ("shots.tsv", CSV), ("shots.jsonl", JSONL), ("shots.ndjson", JSONL)])
def test_a_table_may_be_packed(name: str, text: str, packed: str) -> None:
    assert prompts(read(write_bytes(name + packed, PACKERS[packed](text.encode())))) == PROMPTS


@each_row("packed", PACKERS)
@each_row("text", [CSV, JSONL, f"\ufeff{CSV}", f"\n  {JSONL}"])
def test_a_table_on_standard_input_is_told_by_its_first_character(text: str, packed: str) -> None:
    with standard_input(io.BytesIO(PACKERS[packed](text.encode()))):
        found = read("-")
    assert prompts(found) == PROMPTS
    assert found[1].where.startswith("standard input, line ")


def test_the_format_of_standard_input_may_be_said() -> None:
    with standard_input(io.BytesIO(b'["a"]\n{"prompt": "one"}\n')):
        found = read("-", form=TableFormat.JSONL)
    assert [type(each) for each in found] == [BrokenRow, Row]


def test_images_of_standard_input_are_looked_for_in_the_current_folder() -> None:
    with standard_input(io.BytesIO(b"image\ncats/a.jpg\n")):
        assert read("-") == [Row("standard input, line 2", {"image": Path("cats/a.jpg")})]


def test_standard_input_is_left_open() -> None:
    file = io.BytesIO(gzip.compress(CSV.encode()))
    with standard_input(file):
        read("-")
        assert not file.closed


def test_rows_on_standard_input_are_read_as_they_come() -> None:
    read_end, write_end = os.pipe()
    gave_up = threading.Event()

    def close() -> None:  # so that a reader which waits for more fails, and does not hang
        gave_up.set()
        os.close(write_end)

    timer = threading.Timer(30, close)
    with os.fdopen(read_end, "rb") as file, standard_input(file):
        os.write(write_end, b'{"prompt": "first"}\n')
        timer.start()
        rows = iterate_sources(["-"])
        assert next(rows) == Row("standard input, line 1", {"prompt": "first"})
        assert not gave_up.is_set()
        timer.cancel()
        os.write(write_end, b'{"prompt": "second"}\n')
        os.close(write_end)
        assert next(rows) == Row("standard input, line 2", {"prompt": "second"})
        assert next(rows, None) is None


def test_a_terminal_is_no_table() -> None:
    class Terminal(io.BytesIO):
        def isatty(self) -> bool:
            return True

    with standard_input(Terminal()), pytest.raises(InvalidRequestError, match="nothing is piped in"):
        read("-")


@each_row("packed", [".gz", ".zst"])
def test_a_packed_table_that_breaks_off_gives_its_rows_first(packed: str) -> None:
    lines = "".join(json.dumps({"prompt": os.urandom(30).hex()}) + "\n" for _ in range(20_000))
    data = PACKERS[packed](lines.encode())
    rows = iterate_sources([write_bytes(f"shots.jsonl{packed}", data[: len(data) // 2])])
    assert len(list(itertools.islice(rows, 1000))) == 1000
    with pytest.raises(InvalidRequestError, match=f"^shots.jsonl{packed} cannot be read: "):
        list(rows)


@each_row("packed", [".gz", ".zst"])
def test_a_packed_table_that_is_damaged_is_an_error(packed: str) -> None:
    data = bytearray(PACKERS[packed](CSV.encode()))
    data[4:20] = b"\xff" * 16
    with pytest.raises(InvalidRequestError, match="cannot be read: "):
        read(write_bytes(f"shots.csv{packed}", bytes(data)))


# --- broken lines ---


def test_a_line_that_is_not_utf_8_is_one_broken_row() -> None:
    write_bytes("shots.csv", b"image,prompt\na.jpg,caf\xe9\nb.jpg,caf\xc3\xa9\n")
    write_bytes("shots.jsonl", b'{"prompt": "caf\xe9"}\n{"prompt": "caf\xc3\xa9"}\n')
    assert read("shots.csv", "shots.jsonl") == [
        BrokenRow("shots.csv, line 2", "it is not UTF-8"),
        Row("shots.csv, line 3", {"image": Path("b.jpg"), "prompt": "café"}),
        BrokenRow("shots.jsonl, line 1", "it is not UTF-8"),
        Row("shots.jsonl, line 2", {"prompt": "café"}),
    ]


@each_row(
    "data", [b"image,caf\xe9\na.jpg,x\n", CSV.encode("utf-16"), JSONL.encode("utf-16"), CSV.encode("utf-16-le")[:0]]
)
def test_a_table_of_another_encoding_gives_no_row(data: bytes) -> None:
    with pytest.raises(InvalidRequestError, match=r"not UTF-8|There is no row"):
        read(write_bytes("shots.csv", data))


def test_a_quote_without_an_end_takes_no_more_lines_along_than_it_tells() -> None:
    lines = [f"a.jpg,number {number}" for number in range(20_000)]
    lines[10] = 'a.jpg,"number 10'
    write_bytes("shots.csv", "\n".join(["image,prompt", *lines]).encode())
    found = read("shots.csv")
    (broken,) = [each for each in found if isinstance(each, BrokenRow)]
    assert broken.where == "shots.csv, line 12"
    last = int(broken.reason.rpartition("it takes the lines to ")[2].removesuffix(" along"))
    assert [each.fields["prompt"] for each in found if isinstance(each, Row)] == [
        f"number {number}" for number in range(20_000) if not 12 <= number + 2 <= last
    ]


def test_a_line_without_an_end_is_not_kept_in_memory() -> None:
    endless = gzip.compress(b"x" * 200_000_000, compresslevel=1)
    write_bytes("shots.jsonl.gz", endless + gzip.compress(b'\n{"prompt": "one"}\n'))
    broken, row = read("shots.jsonl.gz")
    assert broken == BrokenRow("shots.jsonl.gz, line 1", "it has more than 32 million characters")
    assert row == Row("shots.jsonl.gz, line 2", {"prompt": "one"})


# --- columns of the caller ---


def test_a_caller_may_have_columns_of_its_own_which_come_beside_the_fields() -> None:
    columns = (*COLUMNS, "tag")
    write_bytes("shots.jsonl", b'{"prompt": "one", "tag": {"order": 7}}\n{"prompt": "two", "tag": null}\n')
    write_bytes("shots.csv", b"prompt,Tag\nthree,order 9\n")
    found = read("shots.jsonl", "shots.csv", columns=columns)
    assert prompts(found) == ["one", "two", "three"]
    assert [each.extra for each in found if isinstance(each, Row)] == [{"tag": {"order": 7}}, {}, {"tag": "order 9"}]
    with pytest.raises(InvalidRequestError, match=r"no column 'tags'\. Did you mean tag\?"):
        read(write_bytes("more.csv", b"prompt,tags\nx,y\n"), columns=columns)


@each_row(
    ("wrong", "why"),
    [
        ({"promt": "two"}, "there is no column 'promt'. Did you mean prompt?"),
        ({"prompt": "two", "note": "hi"}, "there is no column 'note'"),
        ({"prompt": "two", "Prompt": "2"}, "the column prompt is there twice"),
    ],
)
def test_a_line_of_json_with_an_unknown_column_is_a_broken_row_and_the_others_are_kept(
    wrong: dict[str, Any], why: str
) -> None:
    lines = [{"prompt": "one"}, wrong, {"prompt": "three"}]
    write_bytes("shots.jsonl", "\n".join(map(json.dumps, lines)).encode())
    first, broken, third = read("shots.jsonl")
    assert prompts([first, third]) == ["one", "three"]
    assert broken == BrokenRow("shots.jsonl, line 2", why)
    with pytest.raises(InvalidRequestError, match=f"line 2: {re.escape(why)}"):
        read("shots.jsonl", strict=True)


def test_objects_of_a_table_may_each_have_other_columns_in_another_order() -> None:
    objects = [{"prompt": "x", "seed": 1}, {"seed": 2, "prompt": "x"}, {"Seed": 3}, {"prompt": None, "seed": 4}]
    write_bytes("shots.jsonl", "\n".join(map(json.dumps, objects)).encode())
    assert [each.fields for each in read("shots.jsonl") if isinstance(each, Row)] == [
        {"prompt": "x", "seed": 1},
        {"prompt": "x", "seed": 2},
        {"seed": 3},
        {"seed": 4},
    ]


def test_an_address_of_a_table_is_not_taken_for_an_image() -> None:
    with pytest.raises(InvalidRequestError, match="is a table, and only images are read from the web") as refused:
        read("https://example.com/shots.csv.gz?page=2")
    assert "curl" in refused.value.hint


# --- memory ---


@each_row("name", ["shots.csv", "shots.jsonl.gz"])
def test_a_table_of_200_000_rows_is_not_held_in_memory(name: str) -> None:
    cells = [("https://example.com/a.jpg", "The cat blinks " * 5, f"key-{number}") for number in range(200_000)]
    if name.endswith(".csv"):
        text = "".join(f"{line}\n" for line in ("image,prompt,key", *map(",".join, cells)))
    else:
        text = "".join(
            f'{{"image": "{image}", "prompt": "{prompt}", "key": "{key}"}}\n' for image, prompt, key in cells
        )
    write_bytes(name, PACKERS[name.removeprefix("shots.jsonl").removeprefix("shots.csv")](text.encode()))
    del cells, text
    tracemalloc.start()
    try:
        count = sum(1 for _ in iterate_sources([name]))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 200_000
    assert peak < 5_000_000
