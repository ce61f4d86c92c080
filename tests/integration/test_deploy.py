"""What deploy/ names exists, and what it promises is what the program needs: files that nothing runs here would rot unseen."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import asyncpg
import click
import pytest

from newsletter.app import House
from newsletter.cli.house import EX_CONFIG
from newsletter.cli.main import main
from newsletter.core.logs import network_of
from newsletter.jobs.worker import DRAIN
from newsletter.settings import PREFIX, Settings, load_settings
from newsletter.web.server import FINISH_WITHIN, make_app
from tests.conftest import Server

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
SHARED = DEPLOY / "systemd" / "newsletter-.service.d" / "settings.conf"
README = (DEPLOY / "README.md").read_text()

CLOSE_POOL = 5
"""Seconds that `Database.close` waits for running statements."""
WEEK = timedelta(days=7)
TOKEN = "AmpnT5rXY43Otv6ujM6qlFHzXGLhRShEHIC4UzSyJcnlopDrGahoXSPtNzRZCKzs2g"


def _values(unit: Path, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.+)$", unit.read_text(), re.MULTILINE)


# ------------------------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize("file", [path for path in sorted(DEPLOY.rglob("*")) if path.is_file()], ids=lambda path: path.name)
def test_every_variable_that_a_file_names_is_a_setting(file: Path) -> None:
    for name in re.findall(rf"\b{PREFIX}([A-Z][A-Z0-9_]*)\b", file.read_text()):
        setting = name.lower()
        assert setting in {"config", *Settings.model_fields} or setting.removesuffix("_file") in Settings.model_fields, name


def test_the_units_settings_load_from_the_credentials_that_systemd_hands_over(tmp_path: Path) -> None:
    given = dict(value.split(":", 1) for value in _values(SHARED, "LoadCredential"))
    environment = dict(value.split("=", 1) for value in _values(SHARED, "Environment"))
    for name in given:
        (tmp_path / name).write_text(_credential(name))

    settings = load_settings({name: value.replace("%d", str(tmp_path)) for name, value in environment.items()})

    assert {Path(value).name for value in environment.values()} == set(given), "each is handed over, and each is used"
    assert settings.secret.get_secret_value() == "s" * 44, "without the line's end"
    assert settings.database_url.get_secret_value() == "postgresql://newsletter:x@127.0.0.1:5432/newsletter"
    assert [str(relay) for relay in settings.relays] == ["smtp.example.org:587"]
    assert settings.trusted_proxies == (ip_network("127.0.0.0/8"), ip_network("::1/128"))


def _credential(name: str) -> str:
    return {
        "newsletter.toml": (DEPLOY / "newsletter.toml").read_text(),
        "secret": "s" * 44 + "\n",
        "database_url": "postgresql://newsletter:x@127.0.0.1:5432/newsletter\n",
        "smtp_url": "smtp://user:password@smtp.example.org:587\n",
    }[name]


def test_the_command_line_and_the_containers_read_the_same_settings_as_the_units() -> None:
    def files(text: str) -> dict[str, str]:
        return {name: Path(value).name for name, value in re.findall(rf"({PREFIX}(?:CONFIG|\w+_FILE))(?:=|: )(\S+)", text)}

    shared = files(SHARED.read_text())
    assert len(shared) == 4
    assert files((DEPLOY / "bin" / "newsletter").read_text()) == shared
    assert files((DEPLOY / "compose.yaml").read_text()) == shared


def test_the_example_settings_are_the_defaults_where_there_are_any() -> None:
    example = tomllib.loads((DEPLOY / "newsletter.toml").read_text())
    secrets = {"database_url": "postgresql://x/y", "secret": "s" * 32, "smtp_url": "smtp://x"}
    asked = {name: str(value) for name, value in example.items() if Settings.model_fields[name].default is None}
    without_default = {"base_url": example["base_url"]} | asked
    plain = {f"{PREFIX}{name.upper()}": value for name, value in (secrets | without_default).items()}
    stated = plain | {f"{PREFIX}{name.upper()}": str(value) for name, value in example.items()}

    assert load_settings(stated) == load_settings(plain)


# ------------------------------------------------------------------------------------------------------------- commands


def _commands() -> Iterator[tuple[str, str]]:
    for unit in UNITS:
        for line in _values(unit, "ExecStart"):
            yield unit.name, line.removeprefix("/opt/newsletter/bin/newsletter ")
    for line in re.findall(r"command: \[(.+)\]", (DEPLOY / "compose.yaml").read_text()):
        if not line.startswith("postgres"):
            yield "compose.yaml", line.replace(",", "")
    for line in re.findall(r'CMD \["(\w+)"\]$', (DEPLOY / "Containerfile").read_text(), re.MULTILINE):
        yield "Containerfile", line
    for line in re.findall(r"^(?:    )?newsletter ([a-z].*)$", README.replace("\\\n", ""), re.MULTILINE):
        yield "README.md", line
    for line in re.findall(r"run --rm serve (.+)$", README, re.MULTILINE):
        yield "README.md", line


@pytest.mark.parametrize(("where", "line"), list(_commands()))
def test_every_command_that_is_run_exists_with_its_options(where: str, line: str) -> None:
    words = shlex.split(line, comments=True)
    command: click.Command = main
    while isinstance(command, click.Group):
        name = words.pop(0)
        found = command.get_command(click.Context(command), name)
        assert found is not None, f"{where} runs `{line}`, and there is no `{name}`"
        command = found
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options


def _section(heading: str) -> str:
    return README.partition(f"## {heading}")[2].partition("\n## ")[0]


@pytest.mark.parametrize("program", ["pg_dump", "pg_restore"])
def test_backup_and_restore_use_programs_and_options_that_there_are(server: Server, program: str) -> None:
    path = server.bin / program if server.bin else shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    known = subprocess.run([path, "--help"], capture_output=True, text=True, check=True, timeout=20).stdout
    (line,) = re.findall(rf"-- {program} (.+)$", _section("Backing up"), re.MULTILINE)
    options = re.findall(r"--[a-z-]+", line)
    assert options
    assert [option for option in options if option not in known] == []


def test_after_a_restore_withdrawals_are_replayed_before_a_worker_starts() -> None:
    recipe = _section("Backing up").partition("### Restoring")[2]
    steps = ["systemctl stop 'newsletter-*'", "pg_restore --no-owner", "newsletter privacy replay ", "start newsletter-work"]
    places = [recipe.find(step) for step in steps]
    assert -1 not in places
    assert places == sorted(places)


def test_the_file_of_withdrawals_lies_where_the_worker_may_write_and_the_containers_keep_it() -> None:
    folder = Path(tomllib.loads((DEPLOY / "newsletter.toml").read_text())["withdrawal_log"]).parent
    work = DEPLOY / "systemd" / "newsletter-work.service"
    assert folder == Path("/var/lib") / _values(work, "StateDirectory")[0]
    assert f"withdrawals:{folder}]" in (DEPLOY / "compose.yaml").read_text()
    assert f"10001 {folder}\n" in (DEPLOY / "Containerfile").read_text()


def test_each_kind_of_process_has_a_unit() -> None:
    assert {unit.stem for unit in UNITS} == {"newsletter-migrate", "newsletter-serve", "newsletter-serve@", "newsletter-work"}


def test_what_only_another_configuration_can_help_is_not_tried_again() -> None:
    """And everything else is, however often: a database that is away, or not migrated yet."""
    for unit in UNITS:
        assert _values(unit, "RestartPreventExitStatus") == [str(EX_CONFIG)], unit.name
        assert _values(unit, "StartLimitIntervalSec") == ["0"], unit.name
        assert _values(unit, "Restart") in (["always"], ["on-failure"]), unit.name


def test_rotating_the_secret_restarts_every_process_that_holds_keys() -> None:
    """One that started while the file had the old secret stays down until then."""
    recipe = README.partition("## Rotating the secret")[2].partition("\n## ")[0]
    (restart,) = re.findall(r"systemctl restart (.+)", recipe)
    assert set(shlex.split(restart)) == {"newsletter-work", "newsletter-serve", "newsletter-serve@*"}


def test_a_process_gets_the_time_that_it_takes_to_finish() -> None:
    needed = max(DRAIN, 2 * FINISH_WITHIN) + CLOSE_POOL
    given = [value for unit in UNITS for value in _values(unit, "TimeoutStopSec")]
    given += re.findall(r"stop_grace_period: (\d+)s", (DEPLOY / "compose.yaml").read_text())

    assert len(given) == 5
    assert all(int(value) > needed for value in given)


# ----------------------------------------------------------------------------------------------------------------- logs


def _map(variable: str) -> list[tuple[str, str]]:
    """The patterns of one of nginx's maps with their values, in its order: exact ones first, then expressions."""
    text = (DEPLOY / "nginx" / "newsletter.conf").read_text()
    body = re.search(rf"^map \S+ \${variable} {{\n(.*?)^}}", text, re.MULTILINE | re.DOTALL)
    assert body
    pairs = [(key.strip('"'), value.strip('"')) for key, value in re.findall(r"^ +(\S+) +(\S+);$", body[1], re.MULTILINE)]
    return sorted(pairs, key=lambda pair: pair[0].startswith("~"))


def _mapped(variable: str, text: str) -> str:
    pairs = _map(variable)
    for key, value in pairs:
        if key == text:
            return value
        if key.startswith("~") and (found := re.search(key[1:].replace("(?<", "(?P<"), text)):
            return re.sub(r"\$(\w+?)(?=[.:]|$)", lambda name: str(found[name[1]]), value)
    return dict(pairs)["default"]


async def test_the_proxy_logs_every_page_by_its_kind_and_no_token(house: House) -> None:
    resources = make_app(house.services()).router.resources()
    for pattern in {resource.canonical for resource in resources}:
        kind = _mapped("newsletter_page", re.sub(r"\{[^}]+\}", TOKEN, pattern))
        assert TOKEN not in kind
        assert kind != "(other)", f"deploy/nginx does not know {pattern}"


@pytest.mark.parametrize(
    "path", [f"/{TOKEN}", "/reader@example.org", f"/CONFIRM/{TOKEN}", f"/confirm/{TOKEN}/more", "/metrics/more"]
)
def test_the_proxy_logs_nothing_of_a_path_that_it_does_not_know(path: str) -> None:
    assert _mapped("newsletter_page", path) in ("(other)", "/confirm/{token}")


@pytest.mark.parametrize(
    "address",
    [
        "203.0.113.77",
        "2001:db8:aa:bb:1:2:3:4",
        "2001:db8:0:1::7",
        "2001:db8::7",
        "2001:db8:a::7",
        "2001::7",
        "::1",
        "fe80::abcd",
    ],
)
def test_the_proxy_logs_the_same_part_of_an_address_as_the_program(address: str) -> None:
    prefix = 24 if "." in address else 48
    assert str(ip_network(f"{_mapped('newsletter_network', address)}/{prefix}")) == network_of(address)


def test_the_proxy_does_not_log_what_it_cannot_shorten() -> None:
    assert _mapped("newsletter_network", "unix:") == "-"


def test_the_proxys_log_has_no_variable_that_holds_a_person_or_a_token() -> None:
    text = (DEPLOY / "nginx" / "newsletter.conf").read_text()
    (log_format,) = re.findall(r"^log_format newsletter (.*?);", text, re.MULTILINE | re.DOTALL)
    allowed = {"time_iso8601", "newsletter_network", "request_method", "newsletter_page", "status", "body_bytes_sent"}
    allowed |= {"request_time", "upstream_status", "upstream_response_time"}

    assert set(re.findall(r"\$(\w+)", log_format)) == allowed
    assert set(re.findall(r"access_log +\S+ (\w+);", text)) == {"newsletter"}
    assert set(re.findall(r"error_log +\S+ (\w+);", text)) == {"emerg"}


def test_the_proxy_holds_no_request_back() -> None:
    """RFC 8058: one-click requests for many readers come from few addresses."""
    text = (DEPLOY / "nginx" / "newsletter.conf").read_text()
    assert not re.search(r"^\s*limit_(req|conn)", text, re.MULTILINE)


def test_logs_are_gone_after_seven_days() -> None:
    journal = DEPLOY / "journald" / "newsletter.conf"
    (closed,), (kept,) = _values(journal, "MaxFileSec"), _values(journal, "MaxRetentionSec")
    assert timedelta(days=int(closed.removesuffix("day")) + int(kept.removesuffix("day"))) <= WEEK
    assert _values(SHARED, "LogNamespace") == ["newsletter"], "whose journal that is"

    rules = re.findall(r"^/\S+ {\n(.*?)^}", (DEPLOY / "logrotate" / "newsletter").read_text(), re.MULTILINE | re.DOTALL)
    assert len(rules) == 3
    for rule in rules:
        words = rule.split()
        assert {"daily", "ifempty"} <= set(words)
        assert timedelta(days=int(words[words.index("rotate") + 1]) + 1) < WEEK


async def test_postgresql_knows_every_setting_that_we_give_it(server: Server) -> None:
    names = re.findall(r"^(\w+) = ", (DEPLOY / "postgresql" / "newsletter.conf").read_text(), re.MULTILINE)
    connection = await asyncpg.connect(server.admin_url)  # Others are not shown where the log lies.
    try:
        known = await connection.fetch("select name from pg_settings where name = any($1::text[])", names)
    finally:
        await connection.close()

    assert {row["name"] for row in known} == set(names)
    assert {"log_error_verbosity", "log_parameter_max_length", "log_parameter_max_length_on_error"} <= set(names)
