"""The forms of a page, as a browser would send them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin

from newsletter.web.console.guard import HIDDEN_FIELD

TYPED = ("text", "search", "email", "password", "url", "tel", "datetime-local", "date", "number", "hidden")


@dataclass
class Form:
    """`fields`: what it sends untouched; `typed`: names of fields that a person or a program can put anything into."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    typed: list[str] = field(default_factory=list)

    def filled(self, text: str) -> Iterator[dict[str, str]]:
        """Once for each field that takes text, the others as they are."""
        for name in self.typed:
            yield self.fields | {name: text}

    def together(self, text: str) -> dict[str, str]:
        """In all of them at once."""
        return self.fields | dict.fromkeys(self.typed, text)


class _Reader(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.page = page
        self.forms: list[Form] = []
        self._area: str | None = None
        self._select: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        name = said.get("name", "")
        if tag == "form":
            self.forms.append(Form(urljoin(self.page, said.get("action", "")), said.get("method", "get").lower()))
        elif not self.forms:
            return
        elif tag == "textarea" and name:
            self._area = name
            self.forms[-1].fields[name] = ""
            self.forms[-1].typed.append(name)
        elif tag == "select" and name:
            self._select = name
            self.forms[-1].typed.append(name)
        elif tag == "option" and self._select and ("selected" in said or self._select not in self.forms[-1].fields):
            self.forms[-1].fields[self._select] = said.get("value", "")
        elif tag == "input" and name:
            kind = said.get("type", "text")
            if kind in TYPED:
                self.forms[-1].fields[name] = said.get("value", "")
                if name != HIDDEN_FIELD:  # without it nothing else is looked at
                    self.forms[-1].typed.append(name)
            elif kind in ("checkbox", "radio") and "checked" in said:
                self.forms[-1].fields[name] = said.get("value", "on")

    def handle_endtag(self, tag: str) -> None:
        self._area = None if tag == "textarea" else self._area
        self._select = None if tag == "select" else self._select

    def handle_data(self, data: str) -> None:
        if self._area:
            self.forms[-1].fields[self._area] += data


def forms_of(page: str, markup: str) -> list[Form]:
    """`page`: its path, that actions are relative to."""
    reader = _Reader(page)
    reader.feed(markup)
    return reader.forms
