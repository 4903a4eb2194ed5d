import dataclasses
import html.parser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from crossent.evaluation.catalogue import METRICS
from crossent.report import figures
from crossent.report.content import ReportContent
from crossent.report.html import CONTENT_SECURITY_POLICY, render, write_report
from tests.report.draw import draw_before_after, draw_content, draw_learning_rate, draw_risk_coverage, draw_sets

HOSTILE = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}", "$a$")
VOID = {"meta", "br", "hr", "img", "input", "link"}


class Outline(html.parser.HTMLParser):
    """Collects tags and text, and checks that every tag is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in {"src", "href", "xlink:href", "action"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in {"src", "href", "xlink:href", "action"}]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def outline(page: str) -> Outline:
    found = Outline()
    found.feed(page)
    found.close()
    assert not found.open
    return found


@pytest.fixture(scope="module")
def content() -> ReportContent:
    return draw_content(("alpha", "beta", "gamma"))


@pytest.fixture(scope="module")
def page(content: ReportContent) -> str:
    return render(content)


def test_page_is_whole_and_needs_nothing_else(page: str) -> None:
    found = outline(page)
    assert "script" not in found.tags
    assert found.tags.count("svg") == 4
    assert all(link.startswith(("#", "data:")) for link in found.links)
    assert not re.search(r"@import|url\((?!['\"]?#)", page)


def test_everything_is_shown(page: str) -> None:
    text = " ".join(" ".join(outline(page).text).split())
    for words in (
        "label from jobs.csv",
        "alpha",
        "3 rows have no value.",
        "left out: counts the rows",
        "boosting (chosen)",
        "temperature scaling by 1.100",
        "Ways to correct confidence",
        "crossent predict runs/jobs new.csv",
        "Macro F1",
        "17",
    ):
        assert words in text


def test_sections_are_shown_where_there_is_something_to_show(content: ReportContent, page: str) -> None:
    classes = ("alpha", "beta", "gamma")
    full = dataclasses.replace(
        content,
        before_after=draw_before_after(classes),
        sets=draw_sets(classes),
        risk_coverage=draw_risk_coverage(),
        learning_rate=draw_learning_rate(),
    )
    found = outline(render(full))
    text = " ".join(" ".join(found.text).split())
    assert found.tags.count("svg") == 7
    for words in (
        "Learning rate of the network: 0.002. It fell from 2 to 0.2.",
        "before calibration",
        "What calibration did",
        "Prediction sets",
        "What if the model may abstain",
    ):
        assert words in text
        assert words not in page


def test_every_metric_is_a_row_with_its_meaning(page: str) -> None:
    text = " ".join(" ".join(outline(page).text).split())
    for metric in METRICS.values():
        assert metric.title in text
        assert metric.meaning in text


@pytest.mark.parametrize(
    "hostile", ["".join(HOSTILE), *(pytest.param(text, marks=pytest.mark.slow) for text in HOSTILE)]
)
def test_values_of_the_data_are_escaped(hostile: str) -> None:
    content = draw_content((hostile, "b"), name=hostile, value=hostile)
    content = dataclasses.replace(
        content,
        title=hostile,
        source=hostile,
        notes=(hostile,),
        before_after=draw_before_after((hostile, "b")),
        sets=draw_sets((hostile, "b")),
    )
    found = outline(render(content))
    assert "script" not in found.tags
    assert "img" not in found.tags
    assert hostile in "".join(found.text)


def test_same_content_same_bytes(content: ReportContent, page: str) -> None:
    assert render(content) == page


@pytest.mark.parametrize("count", [2, 200])
def test_any_number_of_classes(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # Each small diagram takes its time, and is drawn in the tests of the figures.
    monkeypatch.setattr(figures, "MOST_SMALL_DIAGRAMS", 2)
    found = outline(render(draw_content(tuple(f"class {i}" for i in range(count)))))
    assert found.tags.count("svg") == (4 if count == 2 else 3)


def test_report_replaces_the_old_one_at_once(tmp_path: Path, content: ReportContent) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    write_report(path, content)
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def in_chromium(folder: Path, page: str, width: int = 1200) -> tuple[str, str]:
    """Return a page as Chromium has it in the end, and what Chromium says about it."""
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    command = [
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--no-first-run",
        "--enable-logging=stderr",
        f"--user-data-dir={folder / 'profile'}",
        f"--window-size={width},900",
        "--dump-dom",
        path.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


def full_page(hostile: str = "a") -> str:
    """Return a page with every figure, in which names and values are a given text."""
    classes = (hostile, "b", "c")
    content = dataclasses.replace(
        draw_content(classes, name=hostile, value=hostile),
        before_after=draw_before_after(classes),
        sets=draw_sets(classes),
        risk_coverage=draw_risk_coverage(),
        learning_rate=draw_learning_rate(),
    )
    return render(content)


def test_the_page_allows_nothing_but_what_it_needs(page: str) -> None:
    policy = f'<meta http-equiv="Content-Security-Policy" content="{CONTENT_SECURITY_POLICY}">'
    # Before anything that it is about.
    assert page.index(policy) < page.index("<title>") < page.index("<style>")
    assert "default-src 'none'" in CONTENT_SECURITY_POLICY
    assert "script" not in CONTENT_SECURITY_POLICY


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs the browser Chromium")
def test_a_browser_shows_the_page_under_its_policy_and_runs_nothing_else(tmp_path: Path) -> None:
    _, said = in_chromium(tmp_path, full_page())
    assert "Content Security Policy" not in said
    attacks = (
        "<script>document.title = 'ran'</script><img src='http://127.0.0.1:9/x'>"
        "<img src=x onerror=\"document.title='ran'\">"
        "<iframe src='data:text/html,<script>parent.document.title=1</script>'></iframe><base href='http://127.0.0.1:9/'>"
    )
    unsafe = full_page().replace("</body>", attacks + "</body>")
    page, said = in_chromium(tmp_path, unsafe)
    assert "<title>ran</title>" not in page
    for directive in ("script-src", "img-src", "frame-src", "base-uri"):
        assert directive in said, said
    # Without the policy the script runs, so that the lines above say something.
    page, _ = in_chromium(tmp_path, unsafe.replace(CONTENT_SECURITY_POLICY, ""))
    assert "<title>ran</title>" in page


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs the browser Chromium")
@pytest.mark.parametrize("width", [1200, 400])
def test_a_browser_lays_it_out_within_its_width(tmp_path: Path, width: int) -> None:
    classes = ("a long class name, longer than most", "b", "c")
    content = dataclasses.replace(
        draw_content(classes, value="x" * 200),
        before_after=draw_before_after(classes),
        sets=draw_sets(classes),
        learning_rate=draw_learning_rate(),
    )
    # The page has no script; this one only measures it.
    measure = "<script>document.title = document.documentElement.scrollWidth + ' of ' + innerWidth</script>"
    page = render(content).replace(CONTENT_SECURITY_POLICY, "script-src 'unsafe-inline'")
    page, _ = in_chromium(tmp_path, page.replace("</body>", measure + "</body>"), width)
    found = re.search(r"<title>(\d+) of (\d+)</title>", page)
    assert found is not None
    assert int(found[1]) <= int(found[2])


def test_a_table_without_text_says_nothing_of_words(content: ReportContent, page: str) -> None:
    assert "What speaks for each class?" in page
    assert "What speaks for each class?" not in render(dataclasses.replace(content, ngrams=()))
