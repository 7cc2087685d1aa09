"""The compose file and the image: health checks, secrets, volumes, users; read as text, no container is started."""

from __future__ import annotations

import importlib.util
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from django.conf import settings

from celery_app import app
from processing.doctor import DEAD_LETTERS
from processing.media.process.limits import LIMITS
from tests.unit.test_docs import settings_in_code

ROOT = Path(__file__).resolve().parents[2]
OURS = {"migrate", "web", "worker", "dispatch", "flower"}
THEIRS = {"postgres", "rabbitmq", "redis"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "compose.yaml").read_text())


def test_every_service_is_there_and_no_project_name(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == OURS | THEIRS
    assert "name" not in compose
    assert "version" not in compose


def test_whatever_stays_up_is_watched(compose: dict[str, Any]) -> None:
    unwatched = {name for name, service in compose["services"].items() if "healthcheck" not in service}
    # The dispatcher answers nobody, and one that ended is started again; migrate ends by itself.
    assert unwatched == {"migrate", "dispatch"}
    assert compose["services"]["migrate"]["restart"] == "no"
    assert {compose["services"][name]["restart"] for name in (OURS | THEIRS) - {"migrate"}} == {"unless-stopped"}


def test_services_wait_for_what_they_need(compose: dict[str, Any]) -> None:
    waits = {name: service.get("depends_on", {}) for name, service in compose["services"].items()}
    for name in ("web", "worker", "dispatch"):
        assert waits[name]["migrate"] == {"condition": "service_completed_successfully"}
    assert waits["migrate"] == {"postgres": {"condition": "service_healthy"}}
    assert "rabbitmq" not in waits["web"], "uploads are accepted while the broker is away"


def test_secrets_have_no_default_and_stand_nowhere(compose: dict[str, Any]) -> None:
    text = (ROOT / "compose.yaml").read_text()
    for name in (
        "VIDEOPROC_SECRET_KEY",
        "POSTGRES_PASSWORD",
        "RABBITMQ_PASSWORD",
        "RABBITMQ_USER",
        "FLOWER_BASIC_AUTH",
    ):
        uses = re.findall(rf"\$\{{{name}([^}}]*)\}}", text)
        assert uses, name
        assert all(use.startswith(":?") for use in uses), f"{name} must be set by whoever starts it"
    assert "guest:" not in text


def test_images_are_variables_without_a_registry() -> None:
    images = re.findall(r"^\s*image: (.+)$", (ROOT / "compose.yaml").read_text(), re.M)
    assert len(images) == 4
    for image in images:
        found = re.fullmatch(r"\$\{[A-Z_]+:-([a-z]+:[a-z0-9.-]+)\}", image)
        assert found, image


def test_our_containers_have_no_rights(compose: dict[str, Any]) -> None:
    for name in OURS:
        service = compose["services"][name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["environment"]["VIDEOPROC_MODE"] == "server"


def test_data_are_on_named_volumes(compose: dict[str, Any]) -> None:
    mounted = {
        volume.split(":")[0] for service in compose["services"].values() for volume in service.get("volumes", [])
    }
    files = {name for name in mounted if name.startswith("./")}
    assert mounted - files == set(compose["volumes"])
    assert all((ROOT / name).is_file() for name in files)


def test_the_broker_knows_the_queues_that_its_policies_speak_of() -> None:
    definitions = json.loads((ROOT / "deploy/rabbitmq/definitions.json").read_text())
    patterns = {policy["name"]: re.compile(policy["pattern"]) for policy in definitions["policies"]}
    queues = {"videoproc-work": [queue.name for queue in app.conf.task_queues], "videoproc-dead": [DEAD_LETTERS]}
    assert all(patterns[name].match(queue) for name in queues for queue in queues[name])
    work = next(policy["definition"] for policy in definitions["policies"] if policy["name"] == "videoproc-work")
    assert work["dead-letter-exchange"] == definitions["bindings"][0]["source"] == DEAD_LETTERS
    timeout = re.search(r"^consumer_timeout = (\d+)$", (ROOT / "deploy/rabbitmq/videoproc.conf").read_text(), re.M)
    assert timeout
    assert int(timeout[1]) / 1000 > max(settings.VIDEOPROC_STEP_SECONDS, *(x.wall_seconds for x in LIMITS.values()))


def test_ports_are_published_on_loopback_unless_told_otherwise(compose: dict[str, Any]) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert len(ports) == 2
    assert all(":-127.0.0.1:" in port for port in ports)


def test_settings_of_the_compose_file_exist(compose: dict[str, Any]) -> None:
    given = {
        name for name in OURS for name in compose["services"][name]["environment"] if name.startswith("VIDEOPROC_")
    }
    assert given <= set(settings_in_code())


def test_each_setting_of_the_page_can_be_set_where_the_compose_file_does_not_itself(compose: dict[str, Any]) -> None:
    own = {"MODE", "DEBUG", "DATABASE_URL", "BROKER_URL", "CHANNEL_LAYER_URL"}
    own |= {f"{folder}_DIR" for folder in ("DATA", "STORAGE", "SCRATCH", "STATIC")}
    wanted = set(settings_in_code()) - {f"VIDEOPROC_{name}" for name in own}
    for service in ("web", "worker", "dispatch"):
        given = compose["services"][service]["environment"]
        passed_on = {name for name, value in given.items() if str(value).startswith(f"${{{name}:")}
        assert wanted <= passed_on, service
        assert passed_on - wanted == ({"FORWARDED_ALLOW_IPS"} if service == "web" else set())


def test_the_image_installs_by_hash_and_runs_as_nobody_special() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert "--require-hashes" in text
    assert re.search(r"^ARG BASE_IMAGE=", text, re.M)
    assert re.findall(r"^USER (.+)$", text, re.M) == ["videoproc"]
    copied = [word for line in re.findall(r"^COPY (.+)$", text, re.M) for word in line.split()[:-1]]
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(copied) == allowed
    assert all((ROOT / word).exists() for word in copied)


@pytest.fixture(scope="module")
def healthy() -> ModuleType:
    spec = importlib.util.spec_from_file_location("healthy", ROOT / "deploy" / "healthy.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def address() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/fine" else 503)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_health_check_tells_200_from_the_rest(healthy: ModuleType, address: str) -> None:
    assert healthy.answers(f"{address}/fine")
    assert not healthy.answers(f"{address}/broken")
    assert not healthy.answers("http://127.0.0.1:1/nobody-listens-there")
