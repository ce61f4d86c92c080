"""One frozen `Settings`, read and validated once, passed in from there on.

Sources, the first that has a value wins: environment (`NEWSLETTER_SMTP_URL`), a file named in the environment
(`NEWSLETTER_SMTP_URL_FILE`, for secrets), the TOML file that `NEWSLETTER_CONFIG` names (`smtp_url = "…"`). A variable that is
empty counts as not set.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, model_validator

from newsletter.core.addresses import parse_address
from newsletter.core.errors import InvalidInput, SettingsError
from newsletter.core.urls import is_page
from newsletter.delivery.relays import Relay, domain_name, relays_from_urls

PREFIX = "NEWSLETTER_"
SHORTEST_SECRET = 32
DEVELOPMENT_CONFIG = Path(".newsletter") / "config.toml"
"""What `newsletter dev` writes below the folder it is started in, so that the other commands find its database."""


_UNREADABLE = "cannot be read as an address: write / ? # @ : and % in a password as %2F %3F %23 %40 %3A and %25"


def _parts(address: str) -> SplitResult:
    """Raises a `ValueError` that quotes nothing, as urllib's own would: there may be a password in it."""
    try:
        parts = urlsplit(address)
        for host in parts.netloc.rpartition("@")[2].split(","):
            _ = urlsplit(f"//{host}").port
    except ValueError:
        raise ValueError(_UNREADABLE) from None
    return parts


def _web_address(value: str) -> str:
    if not is_page(value) or {"?", "#"} & set(value):
        raise ValueError("must be an address such as https://news.example.org")
    return value.rstrip("/")


def _database_address(value: SecretStr) -> SecretStr:
    parts = _parts(value.get_secret_value())
    if parts.scheme not in ("postgresql", "postgres"):
        raise ValueError("must look like postgresql://user:password@host:5432/database")
    if "@" in parts.path:
        raise ValueError(_UNREADABLE)
    return value


def _relay_address(value: SecretStr) -> SecretStr:
    for url in value.get_secret_value().split(","):
        parts = _parts(url.strip())
        if parts.netloc and parts.path.strip("/"):
            raise ValueError(_UNREADABLE)
    relays_from_urls(value.get_secret_value())
    return value


def _long_secret(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value()) < SHORTEST_SECRET:
        raise ValueError("must have 32 characters or more: make one with `openssl rand -base64 32`")
    return value


def _networks(value: object) -> object:
    parts = value.split(",") if isinstance(value, str) else value
    try:
        return tuple(ip_network(part.strip()) for part in parts if part.strip())  # type: ignore[attr-defined]
    except (ValueError, TypeError, AttributeError):
        raise ValueError("must be networks such as 10.0.0.0/8 or 2001:db8::/32, comma-separated") from None


def _rates(value: object) -> object:
    """From a variable, `example.org=20,example.net=5`; from TOML, a table."""
    try:
        pairs = dict(part.split("=") for part in value.split(",") if part.strip()) if isinstance(value, str) else value
        rates = {domain_name(name): float(rate) for name, rate in pairs.items()}  # type: ignore[attr-defined]
    except (ValueError, TypeError, AttributeError):
        rates = {"": 0.0}
    if not all(name and 0 < rate <= 1_000_000 for name, rate in rates.items()):
        raise ValueError("must be mails a second by domain, such as example.org=20,example.net=5")
    return rates


def _mail_address(value: str) -> str:
    try:
        return parse_address(value).typed
    except InvalidInput as error:
        raise ValueError(str(error).removesuffix(".")) from None


_IN_POLICY = ("controller", "privacy_contact", "storage_country", "backup_days")


class Settings(BaseModel):
    """Every setting, with its bounds. Deadlines have an upper bound because the privacy policy promises one."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    database_url: Annotated[SecretStr, AfterValidator(_database_address)] = Field(
        description="PostgreSQL 15 or later: `postgresql://user:password@host:5432/database`; a role that is not a superuser"
    )
    secret: Annotated[SecretStr, AfterValidator(_long_secret)] = Field(
        description="Opens the keys in the database; 32 characters or more, made once (`openssl rand -base64 32`). Back it up"
    )
    base_url: Annotated[str, AfterValidator(_web_address)] = Field(
        description="Where the world reaches the web app: `https://news.example.org`"
    )
    smtp_url: Annotated[SecretStr, AfterValidator(_relay_address)] = Field(
        description="The relay: `smtp://user:password@host:587` (STARTTLS required) or `smtps://…`; several comma-separated"
    )
    development: bool = Field(False, description="Set by `newsletter dev`: allows http in `base_url`")
    host: str = Field("127.0.0.1", description="Address that `serve` listens on")
    port: int = Field(8080, ge=1, le=65535, description="Port that `serve` listens on")
    trusted_proxies: Annotated[tuple[IPv4Network | IPv6Network, ...], BeforeValidator(_networks)] = Field(
        (ip_network("127.0.0.0/8"), ip_network("::1/128")),
        description="Networks of reverse proxies whose X-Forwarded-For is believed, comma-separated",
    )
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="debug, info, warning or error")

    controller: str | None = Field(
        None,
        min_length=3,
        max_length=300,
        description="Who is responsible for the addresses, with postal address, as the policy says; required in production",
    )
    privacy_contact: Annotated[str, AfterValidator(_mail_address)] | None = Field(
        None, description="Mail address of whoever looks after people's data; required in production"
    )
    storage_country: str | None = Field(
        None, min_length=2, max_length=100, description="Country that the database is in; required in production"
    )
    authority: str | None = Field(
        None, min_length=3, max_length=300, description="Authority that people may complain to, with its address"
    )
    backup_days: int | None = Field(
        None, ge=0, le=366, description="Days until the oldest backup is overwritten, 0: there are none; required in production"
    )
    withdrawal_log: Path | None = Field(
        None, description="File outside the database that withdrawals are appended to, so that they outlive a restored backup"
    )
    evidence: Literal["none", "sealed", "full"] = Field(
        "sealed",
        description="Proof of consent that stays after deletion: `none`, `sealed` (codes and times, no address) or `full`",
    )
    evidence_days: int = Field(180, ge=1, le=1095, description="Days that this proof is kept")

    confirm_hours: int = Field(24, ge=1, le=24, description="Hours until an unconfirmed sign-up lapses and is deleted")
    erase_left_days: int = Field(
        14, ge=1, le=28, description="Days after the last unsubscribe until everything about the person is deleted"
    )
    origin_days: int = Field(
        180, ge=1, le=1095, description="Days that network address and browser of a consent are kept as evidence"
    )
    delivery_days: int = Field(90, ge=7, le=90, description="Days after which it is forgotten who was sent which campaign")
    log_days: int = Field(365, ge=30, le=366, description="Days that action logs and records of retention runs are kept")

    dns_check: bool = Field(False, description="Ask DNS at sign-up whether the domain of the address takes mail")
    dns_timeout: int = Field(
        2, ge=1, le=10, description="Seconds that this question may take; then the address is taken as it is"
    )
    signups_per_network_hour: int = Field(100, ge=1, description="Sign-ups per hour from one network (IPv4 /24, IPv6 /48)")

    smtp_connections: int = Field(8, ge=1, le=100, description="Connections that one worker opens to a relay")
    smtp_timeout: float = Field(60.0, gt=0, le=600, description="Seconds that a relay may take for one answer")
    domain_rates: Annotated[dict[str, float], BeforeValidator(_rates)] = Field(
        {}, description="Mails per second to a recipient domain, over all workers, comma-separated: `example.org=20`"
    )
    dkim_processes: int = Field(1, ge=1, le=16, description="Processes that sign mails beside each worker, where DKIM keys are")
    chunk: int = Field(250, ge=1, le=1000, description="Readers that a worker takes in hand at a time")
    lease_seconds: int = Field(
        30, ge=5, le=600, description="Seconds that a worker may be silent before another takes over its part of a campaign"
    )

    @model_validator(mode="after")
    def _whole_in_production(self) -> Settings:
        if self.development:
            return self
        problems = [
            f"{PREFIX}{name.upper()} is not set: {type(self).model_fields[name].description}."
            for name in self.missing_in_policy
        ]
        if not self.base_url.startswith("https://"):
            problems.append("NEWSLETTER_BASE_URL: must begin with https:// (RFC 8058 asks it of the one-click link).")
        if problems:
            raise ValueError("\n".join(problems).removesuffix("."))
        return self

    @property
    def missing_in_policy(self) -> list[str]:
        """Settings without which a privacy policy is none (GDPR Art. 13): refused in production, a warning in development."""
        return [name for name in _IN_POLICY if getattr(self, name) is None]

    @property
    def relays(self) -> list[Relay]:
        """In the order that they are tried."""
        return relays_from_urls(self.smtp_url.get_secret_value())

    @property
    def lease(self) -> timedelta:
        return timedelta(seconds=self.lease_seconds)

    @property
    def confirm_within(self) -> timedelta:
        return timedelta(hours=self.confirm_hours)

    @property
    def erase_left_after(self) -> timedelta:
        return timedelta(days=self.erase_left_days)


def load_settings(environment: Mapping[str, str], *, folder: Path | None = None) -> Settings:
    """Read and validate. `folder` is where the development database is looked for when nothing else names a database.

    Raises `SettingsError` with one line for each setting that is wrong: its name, what is wrong, what to do.
    """
    values = _from_toml(_config_file(environment, folder)) | _from_environment(environment)
    try:
        return Settings(**values)
    except ValidationError as error:
        raise SettingsError("\n".join(_explain(problem) for problem in error.errors())) from None


def _config_file(environment: Mapping[str, str], folder: Path | None) -> Path | None:
    if named := environment.get(f"{PREFIX}CONFIG"):
        return Path(named)
    if environment.get(f"{PREFIX}DATABASE_URL") or environment.get(f"{PREFIX}DATABASE_URL_FILE") or folder is None:
        return None
    data = environment.get(f"{PREFIX}DATA")
    development = Path(data) / "config.toml" if data else folder / DEVELOPMENT_CONFIG
    return development if development.is_file() else None


def is_development_secret(settings: Settings, folder: Path) -> bool:
    """Whether the secret is that of a development set-up in that folder, though this is none itself."""
    file = folder / DEVELOPMENT_CONFIG
    if settings.development or not file.is_file():
        return False
    try:
        kept = _from_toml(file).get("secret")
    except SettingsError:
        return False
    return kept == settings.secret.get_secret_value()


def _from_toml(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        return tomllib.loads(file.read_text())
    except OSError as error:
        raise SettingsError(f"NEWSLETTER_CONFIG: {file} cannot be read ({error.strerror}); name a file that exists.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"NEWSLETTER_CONFIG: {file} is not TOML ({error}); correct that line.") from None


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """`NEWSLETTER_X` and the content of the file in `NEWSLETTER_X_FILE`; CONFIG and DATA are about where to look, no
    settings."""
    values: dict[str, Any] = {}
    for variable, value in environment.items():
        name = variable.removeprefix(PREFIX).lower()
        if not value or not variable.startswith(PREFIX) or name in ("config", "data"):
            continue
        if name.endswith("_file") and name not in Settings.model_fields:
            values.setdefault(name.removesuffix("_file"), read_secret(variable, value))
        else:
            values[name] = value
    return values


def read_secret(variable: str, path: str) -> str:
    """The secret in a file, which `variable` (a setting or an option) names. Raises `SettingsError`."""
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{variable}: {path} cannot be read ({type(error).__name__}); check path and owner.") from None


def _explain(problem: Any) -> str:
    name = str(problem["loc"][0]) if problem["loc"] else ""
    variable = PREFIX + name.upper()
    match problem["type"]:
        case "missing":
            return f"{variable} is not set: {Settings.model_fields[name].description}."
        case "extra_forbidden":
            close = difflib.get_close_matches(name, Settings.model_fields, 1)
            hint = f"; did you mean {PREFIX}{close[0].upper()}?" if close else "; remove it."
            return f"{variable} is not a setting{hint}"
        case "value_error":
            message = str(problem["ctx"]["error"])
            return f"{variable}: {message}." if name else f"{message}."
    return f"{variable}: {problem['msg']} ({Settings.model_fields[name].description})."
