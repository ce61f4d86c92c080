"""Lists and their senders."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo, available_timezones

from newsletter.core.addresses import parse_address
from newsletter.core.database import Connection, Database
from newsletter.core.errors import Conflict, DatabaseError, InvalidAddress, InvalidInput, NotFound
from newsletter.core.i18n import languages
from newsletter.core.urls import is_page
from newsletter.delivery import store as delivery
from newsletter.delivery.headers import check_header_text
from newsletter.subscribing import lists_store
from newsletter.subscribing.lists_store import ListRow

time_zones = functools.cache(available_timezones)
"""Remembered, since the standard library walks the file system for them each time: 40 ms."""

SLUG = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
"""A list's short name, as a pattern: what stands in addresses."""

RESERVED = "new"
"""No list's short name: the console makes lists there."""

LONGEST_SUBJECT, LONGEST_WELCOME = 200, 5_000
"""Characters of a welcome mail's subject and text."""

UNIQUE_VIOLATION = "23505"
_TAKES_NONE = "There is no such list, or it takes no sign-ups."
_WHOLE = "a whole address, in ASCII and without a user name, such as"


@dataclass(frozen=True)
class Sender:
    """Who mail comes from, and who answers for it."""

    sender_id: int
    name: str
    from_address: str
    reply_to: str | None
    postal_address: str
    contact: str
    legal_notice: str | None
    relay: str | None = None
    """Name of the relay that takes its mail; None: whichever there is."""

    @property
    def domain(self) -> str:
        """Of the From address, as A-labels."""
        return parse_address(self.from_address).domain


@dataclass(frozen=True)
class ListText:
    name: str
    description: str
    wording: str = ""
    """The operator's own sentence beside the button of the form; empty: ours."""
    welcome_subject: str = ""
    welcome_text: str = ""
    """Of the mail that is sent once to whoever confirms, plain, blank lines between paragraphs. Both empty: none is sent."""


@dataclass(frozen=True)
class MailingList:
    """A newsletter that one can subscribe to."""

    list_id: int
    slug: str
    public: bool
    closed: bool
    languages: tuple[str, ...]
    """The first is the default."""
    time_zone: str
    list_id_header: str
    return_urls: tuple[str, ...]
    sender: Sender
    texts: dict[str, ListText] = field(hash=False)
    rate: float | None = None
    """Mails a second at most; None: as fast as its relay takes them."""

    def language(self, wanted: str) -> str:
        """The wanted language where the list has it, else the list's first."""
        return wanted if wanted in self.languages else self.languages[0]

    def text(self, language: str) -> ListText:
        return self.texts[self.language(language)]

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)


def _list_from(row: ListRow) -> MailingList:
    words = zip(row.names, row.descriptions, row.wordings, row.welcome_subjects, row.welcome_texts, strict=True)
    texts = dict(zip(row.text_languages, (ListText(*each) for each in words), strict=True))
    return MailingList(
        list_id=row.list_id,
        slug=row.slug,
        public=row.visibility == "public",
        closed=row.closed,
        languages=tuple(row.languages),
        time_zone=row.time_zone,
        list_id_header=row.list_id_header,
        return_urls=tuple(row.return_urls),
        sender=Sender(
            row.sender_id,
            row.sender_name,
            row.from_address,
            row.reply_to,
            row.postal_address,
            row.contact,
            row.legal_notice,
            row.relay,
        ),
        texts={language: texts[language] for language in row.languages},  # The first is the one that comes first.
        rate=row.rate,
    )


async def all_lists(db: Connection) -> list[MailingList]:
    return [_list_from(row) for row in await lists_store.lists(db, slugs=None, list_ids=None)]


async def lists_by_id(db: Connection, list_ids: Sequence[int]) -> list[MailingList]:
    """In the order given; those that do not exist are left out."""
    found = {row.list_id: _list_from(row) for row in await lists_store.lists(db, slugs=None, list_ids=list_ids)}
    return [found[list_id] for list_id in list_ids if list_id in found]


async def list_by_id(db: Connection, list_id: int) -> MailingList:
    for found in await lists_by_id(db, [list_id]):
        return found
    raise NotFound("There is no such list.")


def is_slug(text: str) -> bool:
    return re.fullmatch(SLUG, text) is not None


async def list_by_slug(db: Connection, slug: str) -> MailingList:
    """Raises `NotFound`."""
    if is_slug(slug):
        for row in await lists_store.lists(db, slugs=[slug], list_ids=None):
            return _list_from(row)
    raise NotFound(f'There is no list "{slug[:64]}".')


async def open_lists(db: Connection, slugs: Sequence[str] | None = None) -> list[MailingList]:
    """Public lists that take sign-ups: all, or those named, in that order: the first of them is the one that speaks.

    Raises `NotFound` when one of the named takes none.
    """
    if slugs is not None and not all(map(is_slug, slugs)):  # What else there is may not even be text to PostgreSQL.
        raise NotFound(_TAKES_NONE)
    rows = await lists_store.lists(db, slugs=None if slugs is None else list(slugs), list_ids=None)
    found = {each.slug: each for each in map(_list_from, rows) if each.public and not each.closed}
    if slugs is None:
        return list(found.values())
    if not found.keys() >= set(slugs):
        raise NotFound(_TAKES_NONE)
    return [found[slug] for slug in dict.fromkeys(slugs)]


class SenderTaken(Conflict):
    """A new sender has the name of one that there is."""


@dataclass(frozen=True)
class NewSender:
    """What an operator says of a sender."""

    name: str
    from_address: str
    postal_address: str
    contact: str
    reply_to: str | None = None
    legal_notice: str | None = None


@dataclass(frozen=True)
class NewList:
    """What an operator says of a list; `texts` by language, the first is the default."""

    slug: str
    texts: dict[str, ListText]
    time_zone: str = "UTC"
    public: bool = True
    return_urls: tuple[str, ...] = ()
    rate: float | None = None
    relay: str | None = None
    """For its sender, and so for all lists of it; None: leave it as it is."""

    @classmethod
    def of(cls, found: MailingList) -> NewList:
        """A list as it is, for whoever changes a part of it."""
        return cls(found.slug, found.texts, found.time_zone, found.public, found.return_urls, found.rate)


async def create_list(db: Database, new: NewList, sender: NewSender | str, *, base_host: str, now: datetime) -> MailingList:
    """Create a list, with a new sender or the existing one of that name.

    `base_host` goes into the List-Id (RFC 2919), which never changes afterwards. Raises `InvalidInput`, `Conflict`, `NotFound`.
    """
    async with db.transaction() as connection:
        return await add_list(connection, new, sender, base_host=base_host, now=now)


async def add_list(db: Connection, new: NewList, sender: NewSender | str, *, base_host: str, now: datetime) -> MailingList:
    """The same in the caller's transaction."""
    check_list(new)
    if new.slug == RESERVED:
        raise InvalidInput(f'"{RESERVED}" is the address of another page: choose another short name.', field="slug")
    taken = f'A list "{new.slug}" exists already: choose another short name.'
    if await lists_store.lists(db, slugs=[new.slug], list_ids=None):  # Before its sender, who exists then as well.
        raise Conflict(taken)
    sender_id = await _sender(db, sender, now)
    try:
        list_id = await lists_store.add_list(
            db,
            slug=new.slug,
            sender_id=sender_id,
            visibility="public" if new.public else "private",
            languages=list(new.texts),
            time_zone=new.time_zone,
            list_id_header=f"{new.slug}.{base_host}".lower().replace(":", "-"),  # of an IPv6 address
            return_urls=list(new.return_urls),
            rate=possible_rate(new.rate),
            now=now,
        )
    except DatabaseError as error:
        if error.sqlstate == UNIQUE_VIOLATION:
            raise Conflict(taken) from None
        raise
    if new.relay is not None:
        await lists_store.set_relay(db, sender_id=sender_id, relay=new.relay)
    await put_texts(db, list_id, new.texts)
    return await list_by_id(db, list_id)


async def put_texts(db: Connection, list_id: int, texts: Mapping[str, ListText]) -> None:
    for language, text in texts.items():
        await lists_store.put_list_text(
            db,
            list_id=list_id,
            language=language,
            name=text.name,
            description=text.description,
            wording=text.wording,
            welcome_subject=text.welcome_subject.strip(),
            welcome_text=text.welcome_text.strip(),
        )


async def close_list(db: Connection, slug: str, *, now: datetime) -> MailingList:
    """For good: no sign-ups, no campaigns; a job ends what its readers have. In the caller's transaction; returns the list.

    Raises `NotFound`, and `Conflict` when it is closed already.
    """
    found = await list_by_slug(db, slug)
    if not await lists_store.close_list(db, list_id=found.list_id, now=now):
        raise Conflict(f"The list {slug} is closed already.")
    await delivery.pause_list(db, list_id=found.list_id, reason="The list was closed.")
    return found


async def keep_open(db: Connection, list_id: int) -> None:
    """Nobody closes the list until the caller's transaction ends. Raises `Conflict` when it is closed."""
    if not await lists_store.keep_open(db, list_id=list_id):
        raise Conflict("The list of this campaign was closed: nothing more is sent to its readers, who are being unsubscribed.")


def possible_rate(rate: float | None) -> float | None:
    if rate is not None and not 0 < rate <= 1_000_000:
        raise InvalidInput("A rate is a number of mails a second, such as 50 or 0.5, or none.", field="rate")
    return rate


async def _sender(db: Connection, sender: NewSender | str, now: datetime) -> int:
    if isinstance(sender, str):
        found = await lists_store.find_sender(db, name=sender)
        if found is None:
            raise NotFound(f'There is no sender "{sender[:100]}".')
        return found
    checked = checked_sender(sender)
    try:
        return await lists_store.add_sender(db, **asdict(checked), now=now)
    except DatabaseError as error:
        if error.sqlstate == UNIQUE_VIOLATION:
            raise SenderTaken(
                f'There is a sender "{checked.name}" already: give its name alone to use it, or choose another name.'
            ) from None
        raise


def checked_sender(sender: NewSender) -> NewSender:
    """As it is stored. Raises `InvalidInput`."""
    name = check_header_text(sender.name.strip(), field="sender name")
    postal_address = " ".join(sender.postal_address.split())
    if not name or not postal_address:
        field = "sender" if name else "sender name"
        raise InvalidInput("A sender needs a name and a postal address: every mail has to say who sends it.", field=field)
    if len(name) > 100 or len(postal_address) > 300:
        raise InvalidInput("A sender's name has 100 characters at most, the postal address 300.", field="sender")
    if sender.legal_notice and not is_page(sender.legal_notice):
        raise InvalidInput(f"A legal notice must be {_WHOLE} https://example.org/imprint.", field="legal notice")
    return NewSender(
        name=name,
        from_address=_address(sender.from_address, "from"),
        reply_to=_address(sender.reply_to, "reply to") if sender.reply_to else None,
        postal_address=_printable(postal_address, field="postal address"),
        contact=_address(sender.contact, "contact"),
        legal_notice=sender.legal_notice or None,
    )


def _address(given: str, field: str) -> str:
    """As it was typed. Raises `InvalidAddress` that says which of several it is about."""
    try:
        return parse_address(given).typed
    except InvalidAddress as error:
        raise InvalidAddress(str(error), field=field) from None


def check_list(new: NewList) -> None:
    """Raises `InvalidInput`."""
    if not is_slug(new.slug):
        raise InvalidInput("The short name may have lower-case letters, digits and hyphens, 63 at most.", field="slug")
    if not new.texts:
        raise InvalidInput("A list needs a name in one language at least.", field="name")
    if unknown := [language for language in new.texts if language not in languages()]:
        raise InvalidInput(f"{unknown[0]} is not spoken here; there are {', '.join(languages())}.", field="language")
    if new.time_zone not in time_zones():
        raise InvalidInput("The time zone must be one such as Europe/Berlin.", field="time zone")
    for language, text in new.texts.items():
        _check_words(language, text)
        _check_welcome(language, text)
    if not all(map(is_page, new.return_urls)):
        raise InvalidInput(f"A page to return to must be {_WHOLE} https://example.org/thanks.", field="return")


def _fit_for_header(text: str, *, field: str, at: str) -> str:
    """Raises `InvalidInput`. `at`: the field, where it is called otherwise than people call it."""
    try:
        return check_header_text(text, field=field)
    except InvalidInput as error:
        raise InvalidInput(str(error), field=at) from None


def _check_words(language: str, text: ListText) -> None:
    """A list has several texts: the field of an error says which, as `description.de`."""
    name, description, wording = f"name.{language}", f"description.{language}", f"wording.{language}"
    if not _fit_for_header(text.name, field="name", at=name).strip() or len(text.name) > 100:
        raise InvalidInput("A list's name has 1 to 100 characters.", field=name)
    if len(_printable(text.description, field="description", at=description)) > 500:
        raise InvalidInput("A list's description has 500 characters at most.", field=description)
    if len(_printable(text.wording, field="wording", at=wording)) > 400:
        raise InvalidInput("The sentence beside the button has 400 characters at most.", field=wording)
    _check_no_fields(text.wording, at=wording)


def _check_welcome(language: str, text: ListText) -> None:
    subject, words = f"welcome_subject.{language}", f"welcome_text.{language}"
    _fit_for_header(text.welcome_subject, field="The subject of the welcome mail", at=subject)
    if len(text.welcome_subject) > LONGEST_SUBJECT:
        raise InvalidInput(f"The subject of a welcome mail has {LONGEST_SUBJECT} characters at most.", field=subject)
    _printable(text.welcome_text.replace("\n", ""), field="welcome mail", at=words)
    if len(text.welcome_text) > LONGEST_WELCOME:
        raise InvalidInput(f"A welcome mail has {LONGEST_WELCOME:,} characters at most.", field=words)
    _check_no_fields(text.welcome_subject, at=subject)
    _check_no_fields(text.welcome_text, at=words)
    missing = [at for at, typed in ((subject, text.welcome_subject), (words, text.welcome_text)) if not typed.strip()]
    if len(missing) == 1:
        raise InvalidInput("A welcome mail has a subject and a text: fill in both, or neither.", field=missing[0])


def _check_no_fields(text: str, *, at: str) -> None:
    """Campaigns have such fields, so that they would be expected here, and readers would read braces."""
    if "{{" in text or "{%" in text:
        raise InvalidInput("Merge fields are not filled in here: write it without {{ and {%.", field=at)


def paragraphs(typed: str) -> str:
    """Lines as a browser or an editor has them, without what cannot be seen of them."""
    lines = typed.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ").split("\n")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(line.rstrip(" ") for line in lines).strip("\n"))


def _printable(text: str, *, field: str, at: str | None = None) -> str:
    """Raises `InvalidInput` for what a terminal, a page or a mail would not show as it stands. `at`: the field, where it is
    called otherwise than people call it."""
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise InvalidInput(f"The {field} may not hold control characters: leave them out.", field=at or field)
    return text


async def sizes(db: Connection) -> dict[int, dict[str, int]]:
    """Readers per list and state."""
    counted: dict[int, dict[str, int]] = {}
    for row in await lists_store.list_sizes(db):
        counted.setdefault(row.list_id, {})[row.state] = row.count
    return counted
