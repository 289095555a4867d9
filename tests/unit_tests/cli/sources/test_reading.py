"""What a batch reads: folders, globs, images, addresses, CSV and JSONL files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from langchain_nebula_video.cli.batch.sources import read_sources
from langchain_nebula_video.cli.sources.rows import COLUMNS, BrokenRow, Row
from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.schema import VideoRequest
from tests.tables import each_row


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(name: str, text: str) -> str:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return name


def rows(*sources: str) -> list[Row]:
    found = read_sources(sources)
    assert found.broken == []
    return found.rows


def table(*lines: str, name: str = "shots.csv") -> list[Row]:
    return rows(write(name, "\n".join(lines)))


def broken(source: str) -> list[tuple[str, str]]:
    return [(row.where, row.reason) for row in read_sources([source]).broken]


def test_a_folder_gives_its_images_in_the_order_that_a_person_counts_in() -> None:
    for name in ("cat-10.jpg", "cat-2.PNG", "cat-1.jpeg", "notes.txt", "deeper/cat-3.jpg"):
        write(f"cats/{name}", "")
    found = read_sources(["cats"])
    assert [row.fields for row in found.rows] == [
        {"image": Path("cats", name)} for name in ("cat-1.jpeg", "cat-2.PNG", "cat-10.jpg")
    ]
    assert found.left_out == 1


def test_a_glob_gives_the_files_that_it_matches_in_folders_below_too() -> None:
    for name in ("a/cat.jpg", "a/b/cat.png", "a/b/dog.png"):
        write(name, "")
    assert {row.fields["image"] for row in rows("a/**/cat.*")} == {Path("a/cat.jpg"), Path("a/b/cat.png")}


def test_images_and_addresses_are_rows_too_and_sources_add_up() -> None:
    write("cat.jpg", "")
    write("shots.csv", "image\ndog.jpg\n")
    found = rows("cat.jpg", "https://example.com/owl.jpg", "shots.csv")
    assert [row.fields["image"] for row in found] == [
        Path("cat.jpg"),
        "https://example.com/owl.jpg",
        Path("dog.jpg"),
    ]


def test_a_table_may_have_every_field_of_a_request_and_a_key() -> None:
    assert {*COLUMNS} == {*VideoRequest.model_fields, "key"}


@each_row("separator", [",", ";", "\t"])
def test_a_csv_is_read_with_the_separator_of_its_first_line(separator: str) -> None:
    (row,) = table(separator.join(["image", "prompt", "key"]), separator.join(["cat.jpg", "The cat blinks", "c-1"]))
    assert row == Row("shots.csv, line 2", {"image": Path("cat.jpg"), "prompt": "The cat blinks"}, "c-1")


def test_a_row_is_named_by_the_line_it_begins_in() -> None:
    found = table("image,prompt", '"a.jpg","two\nlines, and ""quotes"""', "", "b.jpg,one")
    assert [(row.where, row.fields["prompt"]) for row in found] == [
        ("shots.csv, line 2", 'two\nlines, and "quotes"'),
        ("shots.csv, line 5", "one"),
    ]


def test_an_empty_cell_is_not_set_and_a_spreadsheets_mark_of_utf_8_is_no_part_of_a_name() -> None:
    (row,) = table("\ufeffImage,Prompt,Negative-Prompt", "cat.jpg,,rain")
    assert row.fields == {"image": Path("cat.jpg"), "negative_prompt": "rain"}


def test_images_of_a_table_are_looked_for_beside_it() -> None:
    row, web = rows(
        write("deep/shots.csv", "image,last_image\ncat.jpg,/tmp/end.png\nhttps://example.com/a.png,b.png\n")
    )
    assert row.fields == {"image": Path("deep/cat.jpg"), "last_image": Path("/tmp/end.png")}
    assert web.fields == {"image": "https://example.com/a.png", "last_image": Path("deep/b.png")}


def test_several_reference_images_of_a_cell_have_a_bar_between_them() -> None:
    (row,) = table("image,reference_images", "none,cat.jpg | https://example.com/dog.jpg")
    assert row.fields == {"image": None, "reference_images": (Path("cat.jpg"), "https://example.com/dog.jpg")}


def test_jsonl_keeps_the_types_of_its_values() -> None:
    values: dict[str, Any] = {"image": "cat.jpg", "duration": 10, "watermark": True, "reference_images": ["a.jpg"]}
    (row,) = table(json.dumps({**values, "seed": None}), "", name="shots.jsonl")
    assert row.fields == {**values, "image": Path("cat.jpg"), "reference_images": (Path("a.jpg"),)}


@each_row(
    ("column", "meant"),
    [
        ("promt", "prompt"),
        ("negative", "negative_prompt"),
        ("Images", "image"),
        ("length", None),
        ("lastimage", "last_image"),
    ],
)
@each_row("name", ["shots.csv", "shots.jsonl"])
def test_an_unknown_column_is_an_error_that_names_the_nearest_right_one(
    column: str, meant: str | None, name: str
) -> None:
    lines = (
        [f"image,{column}", "cat.jpg,x"] if name.endswith("csv") else [json.dumps({"image": "cat.jpg", column: "x"})]
    )
    with pytest.raises(InvalidRequestError) as refused:
        table(*lines, name=name)
    assert str(refused.value).startswith(f"{name}, line 1: there is no column {column!r}.")
    assert ("Did you mean" in str(refused.value)) is (meant is not None)
    assert meant is None or f"Did you mean {meant}?" in str(refused.value)


def test_a_column_that_is_there_twice_is_an_error() -> None:
    with pytest.raises(InvalidRequestError, match="the column prompt is there twice"):
        table("image,prompt,Prompt", "cat.jpg,a,b")


def test_broken_rows_are_told_with_their_line_and_the_others_are_kept() -> None:
    write("shots.csv", 'image,prompt\na.jpg,one\nb.jpg,two,three\n"c.jpg"x,four\nd.jpg,five\n')
    found = read_sources(["shots.csv"])
    assert [row.where for row in found.rows] == ["shots.csv, line 2", "shots.csv, line 5"]
    assert [row.where for row in found.broken] == ["shots.csv, line 3", "shots.csv, line 4"]
    assert "3 cells in 2 columns" in found.broken[0].reason


def test_a_quote_that_never_ends_is_told_by_the_line_it_begins_in() -> None:
    ((where, reason),) = broken(write("shots.csv", 'image,prompt\na.jpg,"one\nb.jpg,two\n'))
    assert where == "shots.csv, line 2"
    assert "no CSV" in reason


@each_row(
    ("line", "reason"),
    [
        ('{"image": "cat.jpg"', "it is no JSON"),
        ('["cat.jpg"]', "it is no object"),
        ('{"image": 7}', "image is 7"),
        ('{"image": "a.jpg", "key": 7}', "key is 7"),
        ('{"reference_images": [null]}', "reference_images is null"),
    ],
)
def test_a_line_of_jsonl_that_is_no_row_is_told(line: str, reason: str) -> None:
    write("shots.jsonl", f'{{"image": "a.jpg"}}\n{line}\n')
    found = read_sources(["shots.jsonl"])
    assert [row.where for row in found.rows] == ["shots.jsonl, line 1"]
    assert [(row.where, reason in row.reason) for row in found.broken] == [("shots.jsonl, line 2", True)]


@each_row("source", ["nothing.csv", "no/*.jpg", "empty", "head.csv"])
def test_a_source_that_gives_nothing_is_an_error(source: str) -> None:
    Path("empty").mkdir(exist_ok=True)
    write("head.csv", "image,prompt\n")
    with pytest.raises(InvalidRequestError, match=r"There is no"):
        read_sources([source])


def test_a_table_that_is_not_utf_8_is_an_error_with_its_line() -> None:
    Path("shots.csv").write_bytes(b"image,prompt\ncat.jpg,caf\xe9\n")
    with pytest.raises(InvalidRequestError, match="line 2: it is not UTF-8"):
        read_sources(["shots.csv"])


def test_a_broken_row_is_not_a_row() -> None:
    assert read_sources([write("a.jsonl", "x\n")]).broken == [
        BrokenRow("a.jsonl, line 1", "it is no JSON: Expecting value: line 1 column 1 (char 0)")
    ]


def test_a_batch_has_a_million_rows_at_most_as_all_of_them_are_in_memory() -> None:
    assert len(read_sources([write("a.jsonl", "{}\n" * 10)], max_rows=10).rows) == 10
    with pytest.raises(InvalidRequestError, match="There are more than 10 rows"):
        read_sources([write("a.jsonl", "{}\n" * 10), write("b.jsonl", "no\n")], max_rows=10)
