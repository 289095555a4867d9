"""What every page shares: escaping, headers, and how amounts and times are written."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

import langchain_nebula_video.web
from langchain_nebula_video.web.look import HEADERS, Guarded, money, seconds, templates
from tests.tables import each_row

if TYPE_CHECKING:
    from starlette.types import Scope

WEB = Path(langchain_nebula_video.web.__file__).parent


@each_row(
    ("amount", "currency", "text"),
    [
        ("0", "USD", "$0.00"),
        ("0.0738", "USD", "$0.0738"),
        ("1.1070", "USD", "$1.107"),
        ("12345.5", "CNY", "¥12,345.50"),
        ("-0.25", "USD", "\N{MINUS SIGN}$0.25"),
        ("1E+2", "USD", "$100.00"),
    ],
)
def test_an_amount_keeps_all_of_its_digits(amount: str, currency: str, text: str) -> None:
    assert money(Decimal(amount), currency) == text


@each_row(
    ("length", "text"), [(0.2, "0 s"), (59.4, "59 s"), (60, "1 min 0 s"), (125, "2 min 5 s"), (7384, "2 h 3 min")]
)
def test_a_length_of_time_is_rounded_to_what_matters(length: float, text: str) -> None:
    assert seconds(length) == text


def test_whatever_a_template_prints_is_escaped_whichever_its_name(tmp_path: Path) -> None:
    (tmp_path / "page.txt").write_text("{{ text }}", encoding="utf-8")
    assert templates(tmp_path).get_template("page.txt").render(text="<script>") == "&lt;script&gt;"


def test_a_value_that_a_template_lacks_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("{{ nothing }}", encoding="utf-8")
    with pytest.raises(jinja2.UndefinedError):
        templates(tmp_path).get_template("page.html").render()


def test_an_answer_and_a_refusal_have_the_headers() -> None:
    def refusal(scope: Scope) -> str | None:
        return "not you" if scope["path"] == "/closed" else None

    client = TestClient(Guarded(PlainTextResponse("hello"), refusal))
    for path, status in (("/", 200), ("/closed", 403)):
        answer = client.get(path)
        assert answer.status_code == status
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS


def test_no_script_or_style_may_stand_in_a_page() -> None:
    policy = HEADERS["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    for page in WEB.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert "style=" not in text, page
        assert " on" not in {part[:3] for part in text.split('"')[::2] if "=" in part[-1:]}, page
        assert "<script>" not in text, page


def test_every_library_has_its_licence_beside_it() -> None:
    libraries = [path.parent for path in WEB.rglob("*.min.js")]
    assert libraries
    assert all((folder / "LICENSE").is_file() for folder in libraries)
