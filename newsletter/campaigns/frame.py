"""The frame around every campaign: who sends it, why one gets it, and the way out, in the HTML part and in the text part.

It is ours, not the operator's: whatever stands inside, it says how to unsubscribe. It is made once when a campaign is compiled,
in the language of the content; what is each reader's own stays a merge field in it.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from gettext import NullTranslations
from html import escape

from babel import Locale, UnknownLocaleError
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from newsletter.campaigns.merge import Piece
from newsletter.campaigns.plaintext import wrap
from newsletter.campaigns.prepared import StandIns, literal_html, literal_text
from newsletter.core.resources import resource

_UNSUBSCRIBE = Piece("{{ links.unsubscribe }}", 0, fields=frozenset({"links.unsubscribe"}))
_CONFIRMED_ON = Piece("{{ confirmed_on }}", 0, fields=frozenset({"confirmed_on"}))


@dataclass(frozen=True, slots=True)
class Frame:
    """What is the same in every mail of a list in one language.

    `postal_address` may have several lines. `erase_days`: days from a reader's last unsubscribing to the deletion of the
    address. `translations` is the catalogue for the draft's language. `data_url`: the page that
    asks for an address and mails what is held about it, so that it may stand in a letter that gets forwarded.
    """

    list_name: str
    list_description: str
    sender_name: str
    postal_address: str
    legal_notice_url: str | None
    subscribe_url: str
    privacy_url: str
    erase_days: int
    translations: NullTranslations
    data_url: str = ""

    @property
    def constants(self) -> dict[str, str]:
        """The values of the merge fields that are the same for all."""
        return {
            "list.name": self.list_name,
            "list.description": self.list_description,
            "sender.name": self.sender_name,
            "links.subscribe": self.subscribe_url,
            "links.privacy": self.privacy_url,
        }


def is_right_to_left(language: str) -> bool:
    """Whether `language` is written from right to left; one that is unknown is not."""
    try:
        return Locale.parse(language.replace("-", "_")).text_direction == "rtl"
    except (UnknownLocaleError, ValueError):
        return False


def framed_html(frame: Frame, language: str, *, subject: str, preheader: str, content: str) -> str:
    """Liquid source of a whole HTML document around `content`; the three texts are Liquid source that gives HTML."""
    values = _values(frame, " · ")
    stand_ins = StandIns(repr((language, values, subject, preheader, content)))
    slots = {name: _stand_in(stand_ins, literal_html(escape(value))) for name, value in values.items()}
    written = {"subject": subject, "preheader": preheader, "content": content}
    slots |= {name: _stand_in(stand_ins, source) for name, source in written.items()}
    slots |= {"confirmed_on": stand_ins.add(_CONFIRMED_ON), "unsubscribe_url": stand_ins.add(_UNSUBSCRIBE)}
    slots |= {"lang": language.replace("_", "-"), "dir": "rtl" if is_right_to_left(language) else "ltr"}
    template = _environment(frame.translations).get_template("campaign.html")
    return stand_ins.restore(template.render(slots, days=frame.erase_days), str)


def framed_text(frame: Frame, language: str, *, content: str) -> str:
    """Liquid source of the whole text part around `content`, which is Liquid source and ends with an empty line."""
    values = _values(frame, ", ")
    stand_ins = StandIns(repr((language, values)))
    slots = {"confirmed_on": stand_ins.add(_CONFIRMED_ON), "unsubscribe_url": stand_ins.add(_UNSUBSCRIBE)}
    template = _environment(frame.translations).get_template("campaign.txt")
    lines = template.render(values, **slots, days=frame.erase_days).split("\n")
    footer = "\n".join("\n".join(wrap(line, stand_ins)) for line in lines)
    return content + stand_ins.restore(footer, literal_text)


def _values(frame: Frame, between: str) -> dict[str, str]:
    return {
        "list_name": frame.list_name,
        "sender_name": frame.sender_name,
        "postal_address": between.join(line.strip() for line in frame.postal_address.splitlines() if line.strip()),
        "legal_notice_url": frame.legal_notice_url or "",
        "subscribe_url": frame.subscribe_url,
        "privacy_url": frame.privacy_url,
        "data_url": frame.data_url,
    }


def _stand_in(stand_ins: StandIns, source: str) -> str:
    """A word for Liquid source, so that the template engine never sees it; nothing for nothing, which a template can ask."""
    return stand_ins.add(Piece(source, 0)) if source else ""


@functools.lru_cache(maxsize=32)
def _environment(words: NullTranslations) -> Environment:
    """One for each language, with its templates compiled."""
    environment = Environment(
        loader=FileSystemLoader(resource("templates", "mail")),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.policies["ext.i18n.trimmed"] = True
    environment.install_gettext_translations(words, newstyle=True)  # type: ignore[attr-defined]
    return environment
