"""Settings come from three sources in a fixed order; what is wrong is said by name, with the remedy, and without secrets."""

from __future__ import annotations

import traceback
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest

from newsletter.core.errors import SettingsError
from newsletter.settings import Settings, load_settings
from tests.conftest import POLICY

SECRET = "a secret for tests, 32 characters or more"
GIVEN = {
    "NEWSLETTER_DATABASE_URL": "postgresql://newsletter:dbpass@db.example.org/newsletter",
    "NEWSLETTER_SECRET": SECRET,
    "NEWSLETTER_BASE_URL": "https://news.example.org",
    "NEWSLETTER_SMTP_URL": "smtp://user:smtppass@relay.example.org",
} | POLICY


def load(**changes: str | None) -> Settings:
    """The least that is needed, with these changes; None takes one out."""
    environment = GIVEN | {f"NEWSLETTER_{name}": value for name, value in changes.items() if value is not None}
    for name in (name for name, value in changes.items() if value is None):
        del environment[f"NEWSLETTER_{name}"]
    return load_settings(environment)


def refusal(**changes: str | None) -> str:
    with pytest.raises(SettingsError) as refused:
        load(**changes)
    return str(refused.value)


def test_eight_settings_are_enough() -> None:
    settings = load()
    assert settings.confirm_within == timedelta(hours=24)
    assert settings.erase_left_after == timedelta(days=14)
    assert settings.port == 8080
    assert [str(relay) for relay in settings.relays] == ["relay.example.org:587"]


@pytest.mark.parametrize("name", [name.removeprefix("NEWSLETTER_") for name in GIVEN])
def test_what_is_missing_is_named_with_what_it_is_for(name: str) -> None:
    assert refusal(**{name: None}).startswith(f"NEWSLETTER_{name} is not set: ")


def test_development_does_without_what_the_policy_needs_and_knows_it() -> None:
    assert load().missing_in_policy == []
    without = load(DEVELOPMENT="true", CONTROLLER=None, PRIVACY_CONTACT=None, STORAGE_COUNTRY=None, BACKUP_DAYS=None)
    assert without.missing_in_policy == ["controller", "privacy_contact", "storage_country", "backup_days"]


def test_a_variable_that_is_empty_counts_as_not_set() -> None:
    assert refusal(SECRET="") == refusal(SECRET=None)
    assert load(PORT="", CONFIG="").port == 8080


def test_each_setting_that_is_wrong_has_a_line_of_its_own() -> None:
    lines = refusal(PORT="0", SECRET="short", SMTP_URL=None, SMPT_URL="smtp://relay").splitlines()
    assert sorted(line.split(":")[0].split(" ")[0] for line in lines) == [
        "NEWSLETTER_PORT", "NEWSLETTER_SECRET", "NEWSLETTER_SMPT_URL", "NEWSLETTER_SMTP_URL"]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("SECRET", "x" * 31, "must have 32 characters or more: make one with `openssl rand -base64 32`"),
        ("BASE_URL", "http://news.example.org", "must begin with https:// (RFC 8058 asks it of the one-click link)"),
        ("BASE_URL", "news.example.org", "must be an address such as https://news.example.org"),
        ("BASE_URL", "https://", "must be an address such as https://news.example.org"),
        ("BASE_URL", "https://[::1", "must be an address such as https://news.example.org"),
        ("BASE_URL", "https://host:port", "must be an address such as https://news.example.org"),
        *(
            ("BASE_URL", url, "must be an address such as https://news.example.org")
            for url in (
                "https://x.example/a b",
                "https://x.example/<b>",
                "https://x.example/a\x01",
                "https://*",
                "https://x..example",
                "https://x.example?",
                "https://x.example:99999",
            )
        ),
        ("BASE_URL", "https://user:pass@news.example.org", "must be an address such as https://news.example.org"),
        ("BASE_URL", "https://news.example.org/?a=b", "must be an address such as https://news.example.org"),
        ("BASE_URL", "https://bücher.example", "must be an address such as https://news.example.org"),
        ("DATABASE_URL", "mysql://host/db", "must look like postgresql://user:password@host:5432/database"),
        ("SMTP_URL", "relay.example.org", "must look like smtp://user:password@host:587 or smtps://user:password@host"),
        (
            "SMTP_URL",
            "smtp://relay.example.org?tls=no",
            "has an option that there is not; there are name, weight, connections, rate, domain, auth, token_file, starttls",
        ),
        ("SMTP_URL", "smtp://a,smtp://a", "names one relay twice: give each a ?name= of its own"),
        *(
            ("DOMAIN_RATES", rates, "must be mails a second by domain, such as example.org=20,example.net=5")
            for rates in (
                "example.org",
                "example.org=fast",
                "example.org=0",
                "example.org=-1",
                "example.org=nan",
                "=5",
                "example.org=5=6",
                "a b=5",
            )
        ),
        ("TRUSTED_PROXIES", "10.0.0.0/8, proxy", "must be networks such as 10.0.0.0/8 or 2001:db8::/32, comma-separated"),
        ("TRUSTED_PROXIES", "10.0.0.1/8", "must be networks such as 10.0.0.0/8 or 2001:db8::/32, comma-separated"),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_the_remedy(name: str, value: str, remedy: str) -> None:
    assert refusal(**{name: value}) == f"NEWSLETTER_{name}: {remedy}."


@pytest.mark.parametrize(
    ("name", "fits", "does_not"),
    [
        ("ERASE_LEFT_DAYS", "28", "29"),
        ("ERASE_LEFT_DAYS", "1", "0"),
        ("CONFIRM_HOURS", "24", "25"),
        ("CONFIRM_HOURS", "1", "0"),
        ("ORIGIN_DAYS", "1095", "1096"),
        ("DELIVERY_DAYS", "90", "91"),
        ("DELIVERY_DAYS", "7", "6"),
        ("LOG_DAYS", "366", "367"),
        ("LOG_DAYS", "30", "29"),
        ("DNS_TIMEOUT", "10", "11"),
        ("SIGNUPS_PER_NETWORK_HOUR", "1", "0"),
        ("PORT", "65535", "65536"),
        ("SMTP_CONNECTIONS", "100", "101"),
        ("SMTP_TIMEOUT", "600", "nan"),
        ("CHUNK", "1000", "1001"),
        ("LOG_LEVEL", "debug", "loud"),
        ("DNS_CHECK", "true", "perhaps"),
    ],
)
def test_every_bound_is_kept_and_said(name: str, fits: str, does_not: str) -> None:
    """The privacy policy promises what lies between them: the longest that always lies within a month is 28 days."""
    load(**{name: fits})
    said = refusal(**{name: does_not})
    assert said.startswith(f"NEWSLETTER_{name}: ")
    assert str(Settings.model_fields[name.lower()].description) in said


def test_an_unknown_name_is_refused_with_the_likely_one() -> None:
    assert (
        refusal(ERASE_AFTER_DAYS="14")
        == "NEWSLETTER_ERASE_AFTER_DAYS is not a setting; did you mean NEWSLETTER_ERASE_LEFT_DAYS?"
    )
    assert refusal(SMPT_URL="x") == "NEWSLETTER_SMPT_URL is not a setting; did you mean NEWSLETTER_SMTP_URL?"
    assert refusal(COLOUR="x") == "NEWSLETTER_COLOUR is not a setting; remove it."


def test_variables_of_others_are_left_alone() -> None:
    assert load_settings(GIVEN | {"PORT": "x", "NEWSLETTERS": "x", "newsletter_port": "x"}).port == 8080


def test_http_is_for_development_alone() -> None:
    assert load(DEVELOPMENT="true", BASE_URL="http://127.0.0.1:8000/").base_url == "http://127.0.0.1:8000"


@pytest.mark.parametrize(
    "host", ["relay.example.org", "192.0.2.7", "[2001:db8::1]", "127.0.0.1.example.org", "localhost.example.org"]
)
def test_a_relay_elsewhere_is_never_spoken_to_in_clear(host: str) -> None:
    assert "only for a relay on this machine" in refusal(SMTP_URL=f"smtp://{host}?starttls=never")
    assert "only for a relay on this machine" in refusal(
        SMTP_URL=f"smtp://127.0.0.1?starttls=never,smtp://{host}?starttls=never"
    )


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_a_relay_on_this_machine_may_be(host: str) -> None:
    assert [relay.tls for relay in load(SMTP_URL=f"smtp://{host}:25?starttls=never").relays] == ["never"]


def test_several_relays_keep_their_order() -> None:
    relays = load(SMTP_URL="smtps://a.example.org, smtp://u:p%40ss@b.example.org:2525").relays
    assert [(str(relay), relay.tls, relay.password) for relay in relays] == [
        ("a.example.org:465", "implicit", ""), ("b.example.org:2525", "starttls", "p@ss")]  # fmt: skip


def test_networks_are_read_as_networks() -> None:
    assert load(TRUSTED_PROXIES="10.0.0.0/8, 2001:db8::/32,").trusted_proxies == (
        ip_network("10.0.0.0/8"),
        ip_network("2001:db8::/32"),
    )
    assert load(TRUSTED_PROXIES="192.0.2.1").trusted_proxies == (ip_network("192.0.2.1/32"),)


def test_rates_are_read_by_domain_as_addresses_have_it(tmp_path: Path) -> None:
    read = {"example.org": 20.0, "xn--bcher-kva.example": 0.5}
    assert load(DOMAIN_RATES="Example.org=20, b\u00fccher.example = 0.5,").domain_rates == read
    file = tmp_path / "newsletter.toml"
    file.write_text('[domain_rates]\n"Example.org" = 20\n"b\u00fccher.example" = 0.5\n', encoding="utf-8")
    assert load(CONFIG=str(file)).domain_rates == read
    assert load().domain_rates == {}


def test_a_secret_can_lie_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{SECRET} from a file\n")
    assert load(SECRET=None, SECRET_FILE=str(file)).secret.get_secret_value() == f"{SECRET} from a file"


@pytest.mark.parametrize("turned", [False, True])
def test_the_environment_itself_comes_before_a_file_that_it_names(tmp_path: Path, turned: bool) -> None:
    (tmp_path / "secret").write_text(f"{SECRET} from a file")
    both = list((GIVEN | {"NEWSLETTER_SECRET_FILE": str(tmp_path / "secret")}).items())
    assert load_settings(dict(reversed(both) if turned else both)).secret.get_secret_value() == SECRET


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert refusal(SECRET=None, SECRET_FILE=str(tmp_path / "none")) == (
        f"NEWSLETTER_SECRET_FILE: {tmp_path}/none cannot be read (FileNotFoundError); check path and owner.")  # fmt: skip
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    assert "(UnicodeDecodeError)" in refusal(SECRET=None, SECRET_FILE=str(tmp_path / "binary"))


def test_a_toml_file_holds_the_same_names(tmp_path: Path) -> None:
    file = tmp_path / "newsletter.toml"
    file.write_text(
        f'secret = "{SECRET}"\nport = 9000\nbase_url = "https://toml.example.org"\ndns_check = true\n'
        'trusted_proxies = ["10.0.0.0/8", "2001:db8::/32"]\n'
    )
    settings = load(SECRET=None, BASE_URL=None, CONFIG=str(file))
    assert (settings.port, settings.base_url, settings.dns_check) == (9000, "https://toml.example.org", True)
    assert settings.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))


def test_environment_and_files_come_before_toml(tmp_path: Path) -> None:
    (tmp_path / "newsletter.toml").write_text('port = 9000\nsecret = "from the TOML file, 32 characters or more"\n')
    (tmp_path / "secret").write_text(f"{SECRET} from a file")
    settings = load(CONFIG=str(tmp_path / "newsletter.toml"), PORT="9001", SECRET=None, SECRET_FILE=str(tmp_path / "secret"))
    assert settings.port == 9001
    assert settings.secret.get_secret_value() == f"{SECRET} from a file"


def test_a_mistake_in_the_toml_file_is_said_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "newsletter.toml"
    assert (
        refusal(CONFIG=str(file))
        == f"NEWSLETTER_CONFIG: {file} cannot be read (No such file or directory); name a file that exists."
    )
    file.write_text("port = 9000\nport 9001\n")
    assert "is not TOML" in refusal(CONFIG=str(file))
    assert "line 2" in refusal(CONFIG=str(file))
    file.write_bytes(b"\xff")
    assert "is not TOML" in refusal(CONFIG=str(file))
    file.write_text("prot = 9000\n")
    assert refusal(CONFIG=str(file)) == "NEWSLETTER_PROT is not a setting; did you mean NEWSLETTER_PORT?"
    file.write_text("port = [9000]\n")
    assert refusal(CONFIG=str(file)).startswith("NEWSLETTER_PORT: ")


def test_the_development_database_is_found_unless_another_is_named(tmp_path: Path) -> None:
    """So that the other commands work beside `newsletter dev` without a setting."""
    (tmp_path / ".newsletter").mkdir()
    toml = "\n".join(f'{name.removeprefix("NEWSLETTER_").lower()} = "{value}"' for name, value in GIVEN.items())
    (tmp_path / ".newsletter" / "config.toml").write_text(f"{toml}\nport = 9000\n")
    assert load_settings({}, folder=tmp_path).port == 9000
    assert load_settings({"NEWSLETTER_DATA": str(tmp_path / ".newsletter")}, folder=Path("/")).port == 9000
    assert load_settings(GIVEN, folder=tmp_path).port == 8080
    with pytest.raises(SettingsError, match="DATABASE_URL is not set"):
        load_settings({}, folder=tmp_path / "elsewhere")
    with pytest.raises(SettingsError, match="DATABASE_URL is not set"):
        load_settings({})


def test_secrets_are_in_no_text_about_the_settings() -> None:
    settings = load()
    for text in (repr(settings), str(settings), repr(settings.relays), str(settings.relays), repr(settings.model_dump())):
        for secret in (SECRET, "dbpass", "smtppass"):
            assert secret not in text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET", "geheim"),
        ("SMTP_URL", "smtp://user:geheim/x@relay.example.org"),
        ("SMTP_URL", "smtp://user:geheim?x@relay.example.org"),
        ("SMTP_URL", "smtp://user:geheim#x@relay.example.org"),
        ("SMTP_URL", "smtp://user:587/geheim@relay.example.org"),
        ("SMTP_URL", "smtp://user:geheim℀@relay.example.org"),
        ("SMTP_URL", "smtp://user:geheim@[relay.example.org"),
        ("SMTP_URL", "smtp://user:geheim@relay.example.org?starttls=never"),
        ("SMTP_URL", "http://user:geheim@relay.example.org"),
        ("DATABASE_URL", "postgresql://user:geheim/x@db.example.org/newsletter"),
        ("DATABASE_URL", "postgresql://user:5432/geheim@db.example.org/newsletter"),
        ("DATABASE_URL", "mysql://user:geheim@db.example.org/newsletter"),
        ("SMTP_USER", "geheim"),
    ],
)
def test_a_secret_that_is_refused_is_not_quoted(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(**{name: value})
    assert "geheim" not in "".join(traceback.format_exception(refused.value))


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().port = 1  # type: ignore[misc]
