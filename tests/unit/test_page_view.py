"""The page's frame: its policy, who may see it, and words for everything that can be told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client, override_settings

from processing.media.errors import RESOURCE_CODES, MediaError
from processing.media.requests import PRESET_NAMES
from processing.models import Job
from videoproc.views import PRESET_WORDS

WORDS = (Path(settings.BASE_DIR) / "videoproc/static/videoproc/words.js").read_text()


@pytest.fixture
def browser() -> Client:
    return Client(headers={"host": "localhost"})


def test_the_page_allows_nothing_inline_and_nothing_from_elsewhere(browser: Client) -> None:
    answer = browser.get("/")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    text = answer.content.decode()
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)", text)
    assert not re.search(r'(?:src|href)="(?:https?:)?//', text)
    assert "csrftoken" in answer.cookies


@override_settings(VIDEOPROC_ANONYMOUS_CLIENTS=False)
def test_without_anonymous_clients_the_page_leads_to_the_sign_in(browser: Client) -> None:
    answer = browser.get("/", follow=True)
    assert answer.redirect_chain == [("/sign-in?next=/", 302)]
    text = answer.content.decode()
    assert 'name="password"' in text
    assert 'name="next" value="/"' in text


def test_each_preset_is_offered_with_words(browser: Client) -> None:
    assert PRESET_WORDS.keys() == set(PRESET_NAMES)
    text = browser.get("/").content.decode()
    assert re.findall(r'name="preset" value="([^"]+)"', text) == list(PRESET_NAMES)


def leaves(kind: type[MediaError]) -> set[str]:
    """Return the codes of the errors that have no kinds of their own."""
    below = kind.__subclasses__()
    return set().union(*(leaves(each) for each in below)) if below else {kind.code}


def test_the_page_has_a_sentence_for_each_state_and_each_failure_of_a_file() -> None:
    for state in Job.State.values:
        assert f"  {state}: " in WORDS or f" {state}: " in WORDS
    handed_on = {"timeline_mismatch", "output_mismatch", "process_stopped"}
    for code in (leaves(MediaError) | RESOURCE_CODES) - handed_on:
        assert f"  {code}: " in WORDS, code
