"""The documentation says what the code does: every setting, code, event, close code, warning and path, both ways."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RoutePattern

import processing.live.consumers
import uploads.validators  # noqa: F401  (defines problems)
import videoproc.sockets
import videoproc.tokens
from processing.api.errors import FIELD_CODES, Problem
from processing.media.enhancement.preset import Preset
from processing.media.enhancement.presets import PRESETS
from processing.media.errors import RESOURCE_CODES, MediaError
from processing.media.measured import Diagnosis
from processing.media.parameters import PARAMETERS
from processing.media.requests import PRESET_NAMES
from videoproc.problems import FRAMEWORK_CODES

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
READERS = {"text", "words", "boolean", "integer", "number"}


def section(page: str, title: str) -> str:
    """Return the text of a section of a page in docs/, its subsections included."""
    text = (DOCS / page).read_text()
    found = re.search(rf"^(#+) {re.escape(title)}$(.*?)(?=^(?!\1#)#+ |\Z)", text, re.M | re.S)
    assert found, f"docs/{page} has no section {title!r}"
    return found[2]


def first_cells(text: str) -> list[str]:
    """Return what stands in backquotes in the first cell of each table row."""
    return re.findall(r"^\| `([^`]+)`", text, re.M)


def calls(path: str) -> Iterator[tuple[str, ast.Call]]:
    """Yield each call in a module by the last part of the called name."""
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            yield name, node


def strings(node: ast.AST | None) -> list[str]:
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []


def argument(paths: str, function: str, position: int) -> set[str]:
    """Return the strings written as one argument of a function, wherever it is called in files that match `paths`."""
    return {
        text
        for path in ROOT.glob(paths)
        for name, call in calls(str(path.relative_to(ROOT)))
        if name == function and len(call.args) > position
        for text in strings(call.args[position])
    }


def subclasses(kind: type) -> Iterator[type]:
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


def settings_in_code() -> dict[str, Any]:
    """Return each setting read from the environment and its default, None where that is not a plain value."""
    found: dict[str, Any] = {}
    for name, call in calls("videoproc/settings.py"):
        if name not in READERS or not call.args:
            continue
        (setting,) = strings(call.args[0])
        default = (
            call.args[1] if len(call.args) > 1 else next(word.value for word in call.keywords if word.arg == "default")
        )
        try:
            found[setting] = eval(compile(ast.Expression(default), "default", "eval"), {"__builtins__": {}})  # noqa: S307
        except NameError:
            found[setting] = None  # it depends on the mode or the machine; the page tells it in words
    return found


def test_each_setting_has_its_line() -> None:
    documented = first_cells((DOCS / "settings.md").read_text())
    assert sorted(documented) == sorted(settings_in_code())


def test_each_plain_default_is_told() -> None:
    rows = dict(re.findall(r"^\| `(VIDEOPROC_\w+)` \| ([^|]*) \|", (DOCS / "settings.md").read_text(), re.M))
    told = {name: cell.strip().strip("`") for name, cell in rows.items()}
    wrong = {}
    for name, default in settings_in_code().items():
        if isinstance(default, bool):
            expected = "on" if default else "off"
        elif isinstance(default, int | float):
            expected = f"{default:g}" if default < 1e6 else str(int(default))
        elif default:
            expected = default
        else:
            continue
        if told[name] != expected:
            wrong[name] = (told[name], expected)
    assert wrong == {}


def test_settings_read_what_the_code_uses_elsewhere() -> None:
    used = {
        name
        for folder in ("videoproc", "uploads", "processing")
        for path in (ROOT / folder).rglob("*.py")
        for name in re.findall(r"settings\.(VIDEOPROC_\w+)", path.read_text())
    }
    known = set(settings_in_code()) | set(
        re.findall(r"^(VIDEOPROC_\w+)", (ROOT / "videoproc/settings.py").read_text(), re.M)
    )
    assert used <= known


def problem_codes() -> set[str]:
    own = {kind.default_code for kind in subclasses(Problem) if "default_code" in vars(kind)}
    built = argument("videoproc/*.py", "response", 1) | argument("videoproc/*.py", "document", 1)
    media = {kind.code for kind in subclasses(MediaError)} | set(RESOURCE_CODES)
    return (
        {code for code in own | built if not code.startswith("_")} | set(FRAMEWORK_CODES.values()) | FIELD_CODES | media
    )


def job_codes() -> set[str]:
    leaves = {kind.code for kind in subclasses(MediaError) if not kind.__subclasses__()}
    return leaves | set(RESOURCE_CODES) | argument("processing/failures.py", "_fail", 1)


def event_names() -> set[str]:
    return set().union(*(argument("processing/*.py", name, 1) for name in ("record", "reopen", "give_up")))


def message_codes() -> set[str]:
    return argument("processing/live/*.py", "BadMessage", 0) | argument("processing/live/*.py", "error", 0)


def close_codes() -> set[str]:
    modules = (processing.live.consumers, videoproc.sockets)
    found = {value for module in modules for value in vars(module).values() if type(value) is int}
    return {str(code) for code in found if code == 1009 or code == 1013 or 4000 <= code < 5000}


def warning_codes() -> set[str]:
    """Return what plan and receipt may warn of: words with underscores, before a colon where facts follow."""
    found: set[str] = set()
    for path in ("processing/media/planning.py", "processing/media/timeline.py", "processing/media/verify.py"):
        for node in ast.walk(ast.parse((ROOT / path).read_text())):
            if isinstance(node, ast.FunctionDef) and node.name in {"_warnings", "_timeline"}:
                texts = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
                for text in texts:
                    match = re.match(r"([a-z0-9]+(?:_[a-z0-9]+)+)(?::|$)", text) if isinstance(text, str) else None
                    found |= {match[1]} if match else set()
    return found


@pytest.mark.parametrize(
    ("page", "title", "codes"),
    [
        ("api.md", "Problem codes", lambda: problem_codes() - job_only()),
        ("api.md", "Why a job failed", job_codes),
        ("api.md", "Events", event_names),
        ("api.md", "Error messages", message_codes),
        ("api.md", "Close codes", close_codes),
        ("api.md", "Warnings", warning_codes),
        ("api.md", "Presets", lambda: set(PRESET_NAMES)),
        ("api.md", "The diagnosis", lambda: {field.name for field in fields(Diagnosis)}),
    ],
    ids=["problems", "job errors", "events", "messages", "close codes", "warnings", "presets", "diagnosis"],
)
def test_each_code_has_its_line(page: str, title: str, codes: Callable[[], set[str]]) -> None:
    documented = first_cells(section(page, title))
    assert len(documented) == len(set(documented)), "a code stands there once"
    assert set(documented) == codes()


def test_each_parameter_has_its_row() -> None:
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]*) \| ([^|]*) \|$", section("api.md", "Parameters"), re.M)
    assert rows == [(parameter.name, parameter.range, parameter.sentence) for parameter in PARAMETERS.values()]


def test_each_preset_has_its_words_and_its_picture() -> None:
    page = section("presets.md", "When to take which")
    told = re.findall(r"^### (\S+)$\n(?:(?!###).*\n)*?!\[.+\]\(pictures/(\S+)\.jpg\)$", page, re.M)
    assert told == [(name, name) for name in PRESET_NAMES]


def test_the_pictures_of_the_documentation_are_small() -> None:
    assert sum(path.stat().st_size for path in DOCS.glob("pictures/*")) < 1_500_000


def job_only() -> set[str]:
    """Return the codes of media errors that no upload can be answered with: they come up later, in the job's work."""
    later = {"timeline_mismatch", "output_mismatch", "segment_damaged", "output_lost"}
    return later | {"media_error", "source_error", "process_error", "bad_request"}


def test_the_presets_figures_are_the_codes() -> None:
    head, _, *rows = re.findall(r"^\|(.*)\|$", section("presets.md", "The table"), re.M)
    names = [cell.strip() for cell in head.split("|")][1:-1]
    assert names == list(PRESETS)
    told = {}
    for row in rows:
        name, *cells = (cell.strip() for cell in row.split("|"))
        told[name.strip("`")] = cells[:-1]
    words = {True: "yes", False: "no"}
    assert told == {
        entry.name: [
            value if isinstance(value, str) else words[value] if isinstance(value, bool) else f"{value:g}"
            for value in (getattr(preset, entry.name) for preset in PRESETS.values())
        ]
        for entry in fields(Preset)
        if entry.name not in {"name", "summary"}
    }


def stuck_codes() -> set[str]:
    """Return why a job may wait, be tried again, or have ended by no fault of its file."""
    errors = {kind for kind in subclasses(MediaError) if not kind.__subclasses__()}
    waiting = next(
        node
        for node in ast.walk(ast.parse((ROOT / "processing/progress.py").read_text()))
        if isinstance(node, ast.FunctionDef) and node.name == "_waiting_for"
    )
    told = {text for node in ast.walk(waiting) if isinstance(node, ast.Return) for text in _returned(node)}
    written = {
        text
        for _, call in calls("processing/state/step.py")
        for word in call.keywords
        if word.arg == "error_code"
        for text in strings(word.value)
        if text
    }
    return (
        {kind.code for kind in errors if kind.retryable}
        | told
        | written
        | argument("processing/failures.py", "_fail", 1)
    )


def _returned(node: ast.Return) -> list[str]:
    values = node.value.values if isinstance(node.value, ast.BoolOp) else [node.value]
    return [text for value in values for text in strings(value)]


def test_whatever_is_stuck_has_its_row_with_cause_and_cure() -> None:
    codes = stuck_codes()
    assert {"paused", "no_worker", "a_place", "worker_too_old", "worker_lost", "internal_error"} <= codes
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \| [^|]+ \|$", section("operations.md", "When something is stuck"), re.M)
    seen = {code for row in rows for code in re.findall(r"`(\w+)`", row)}
    assert codes - seen == set()


def documented_paths() -> set[str]:
    return set(re.findall(r"^\| `(?:[A-Z]+(?:, [A-Z]+)*) (/[^`]*)`", section("api.md", "Endpoints"), re.M))


def test_each_path_has_its_line() -> None:
    def walk(patterns: list[URLPattern | URLResolver], prefix: str) -> Iterator[str]:
        for entry in patterns:
            if not isinstance(entry.pattern, RoutePattern):
                continue
            route = prefix + str(entry.pattern)
            if isinstance(entry, URLResolver):
                yield from walk(entry.url_patterns, route)
            else:
                yield re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route)

    served = {path for path in walk(get_resolver().url_patterns, "/") if not path.startswith(("/admin/", "/sign-in/"))}
    pages = {"/", "/sign-in", "/sign-out"}
    assert documented_paths() == served - pages


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text) + re.findall(r'src(?:set)?="([^"]+)"', text):
        if not re.match(r"https?:|mailto:", target):
            assert (page.parent / target).exists(), f"{target} is not there"


def test_every_decision_is_in_the_index() -> None:
    pages = {path.name for path in (DOCS / "decisions").glob("*.md")} - {"README.md"}
    assert set(re.findall(r"\]\(([^)]+\.md)\)", (DOCS / "decisions" / "README.md").read_text())) >= pages
