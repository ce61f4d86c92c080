"""A list's frame around what was written for it: the one place where a draft of a campaign is compiled."""

from __future__ import annotations

from newsletter.campaigns.content import CompiledContent, Draft, compile_content
from newsletter.campaigns.frame import Frame
from newsletter.core.errors import InvalidContent
from newsletter.core.i18n import translations
from newsletter.subscribing.links import Links
from newsletter.subscribing.lists import MailingList


class Framing:
    """Work for a thread: milliseconds for a letter, seconds for hostile content."""

    def __init__(self, links: Links, *, erase_left_days: int) -> None:
        self._links = links
        self._erase_left_days = erase_left_days

    @property
    def base_url(self) -> str:
        return self._links.base_url

    def frame(self, mailing_list: MailingList, language: str) -> Frame:
        """What stands around a letter of that list."""
        text = mailing_list.text(language)
        return Frame(
            list_name=text.name,
            list_description=text.description,
            sender_name=mailing_list.sender.name,
            postal_address=mailing_list.sender.postal_address,
            legal_notice_url=mailing_list.sender.legal_notice,
            subscribe_url=self._links.subscribe(mailing_list.slug),
            privacy_url=self._links.privacy,
            erase_days=self._erase_left_days,
            translations=translations(language),
            data_url=self._links.data_page,
        )

    def compile(self, draft: Draft, mailing_list: MailingList) -> CompiledContent:
        """Raises `InvalidContent` with field, line and reason when it cannot become a mail."""
        return compile_content(draft, frame=self.frame(mailing_list, draft.language))

    def compile_neutral(self, draft: Draft) -> CompiledContent:
        """In the frame of no list in particular: for what many lists may begin from. Raises as `compile` does."""
        frame = Frame(
            list_name="Name of the list",
            list_description="What the list is about.",
            sender_name="Name of the sender",
            postal_address="Postal address of the sender",
            legal_notice_url=None,
            subscribe_url=self._links.subscribe("list"),
            privacy_url=self._links.privacy,
            erase_days=self._erase_left_days,
            translations=translations(draft.language),
            data_url=self._links.data_page,
        )
        return compile_content(draft, frame=frame)


def check_language(language: str, mailing_list: MailingList) -> None:
    """Raises `InvalidContent` for a language that the list does not speak."""
    if language not in mailing_list.languages:
        spoken = ", ".join(mailing_list.languages)
        raise InvalidContent(f'The list has no language "{language[:20]}"; it has {spoken}.', field="language")
