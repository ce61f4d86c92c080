"""The checks before a campaign is sent that ask nobody. Each says what was found, and what to do; one measures. Pure."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import unescape

from newsletter.campaigns.content import CompiledContent, Reader
from newsletter.campaigns.holes import Hole
from newsletter.campaigns.service import Preview
from newsletter.campaigns.writing import Fault, Page
from newsletter.campaigns.writing_store import LeftOut, SampleRow
from newsletter.core.findings import Result
from newsletter.core.i18n import language_name

GMAIL_CUTS_AT = 102 * 1024
"""Octets of HTML that Gmail shows; the rest, the way out in it, is behind a link."""
NEARLY = 90 * 1024
SAMPLE = 5000
"""Readers that are looked at for how many have a name, are suppressed, speak what: of larger lists a fair sample."""
SLOW = 60.0
"""Seconds of one processor that logic may take, over all readers, before it is worth a word."""
MOST_KINDS = 12
"""Of markup that was taken out, that are named."""
MOST_HOLES = 10
"""Places that are named."""
TRIED = 200
"""Readers for whom a letter is worked out, to know what one costs."""
_LEFT_OUT = {
    "left": "left and were deleted; they have not signed up again",
    "complained": "complained about a mail",
    "bounced": "have a mailbox that refused mail for good",
    "refused": "said that they did not ask for this",
    "objected": "objected to all mail",
    "restricted": "have paused their letters",
}


@dataclass(frozen=True)
class Check:
    """One line. `todo` is empty where there is nothing to do; `details` are single things that it is about."""

    title: str
    result: Result
    found: str
    todo: str = ""
    details: tuple[str, ...] = ()


def size_check(octets: int) -> Check:
    """Of the HTML part."""
    title, found = "Size", f"The HTML part has {octets / 1024:.0f} KB; Gmail cuts at 102 KB."
    if octets > GMAIL_CUTS_AT:
        return Check(title, Result.BAD, found, "Shorten it: what is cut off, the way out in it, is behind a link then.")
    return Check(
        title, Result.WARN if octets > NEARLY else Result.GOOD, found, "Shorten it a little." if octets > NEARLY else ""
    )


def text_check(text: str, words: str) -> Check:
    """Whether the text part says what the HTML says. `words` are those that the HTML shows."""
    title = "Text part"
    written, shown = len(text.split()), len(words.split())
    if not text.strip():
        return Check(title, Result.BAD, "It is empty.", "Write some text: an image alone says nothing to many readers.")
    if written * 2 < shown:
        found = f"It has {written:,} words, the HTML part {shown:,}."
        return Check(title, Result.WARN, found, "Look at it in the preview: much of the letter is missing in it.")
    return Check(title, Result.GOOD, f"{written:,} words, beside {shown:,} in the HTML part.")


def removed_check(removed: Mapping[str, int]) -> Sequence[Check]:
    """Of what the sanitiser takes out. Nothing is said where it takes nothing."""
    if not removed:
        return ()
    kinds = sorted(removed, key=lambda kind: (-removed[kind], kind))
    told = ", ".join(f"{removed[kind]:,} × {kind[:40]}" for kind in kinds[:MOST_KINDS])
    more = f", and {len(kinds) - MOST_KINDS} kinds more" if len(kinds) > MOST_KINDS else ""
    todo = "Look at the preview: it is what is sent. Mail programs show none of this, or call it dangerous; do without it."
    return (Check("Left out of the HTML", Result.WARN, f"Removed: {told}{more}.", todo),)


def broken_check(fault: Fault) -> Check:
    """What could not be compiled, with its place."""
    return Check("It becomes a mail", Result.BAD, fault.said, "It cannot be sent before this is mended.")


def way_out_check(preview: Preview, links: Sequence[str]) -> Check:
    """Whether the way out is in both parts and in the headers."""
    title = "Way out"
    in_html = any("/unsubscribe/" in link for link in links)
    in_text = "/unsubscribe/" in unescape(preview.words.text)
    if in_html and in_text and b"List-Unsubscribe-Post:" in preview.message:
        return Check(title, Result.GOOD, "A link in both parts, and one click in the mail program (RFC 8058).")
    return Check(
        title,
        Result.BAD,
        "A link to unsubscribe is missing in one of the parts.",
        "Do not send this: tell whoever runs this program.",
    )


def fields_check(content: CompiledContent, left: Sequence[Hole], sample: Sequence[SampleRow], readers: int) -> Check:
    """Who has a name, and where those without one come past a gap. `readers`: all of them; `sample`: some."""
    title = "Merge fields"
    if "name" not in content.fields:
        return Check(title, Result.GOOD, "The reader's name is not used: all get the same words.")
    asked, named = sum(row.readers for row in sample), sum(row.named for row in sample)
    if not asked:
        return Check(title, Result.GOOD, "There are no readers yet whose name could be missing.")
    about = "About " if readers > asked else ""
    found = f"{about}{named * 100 / asked:.0f} % of the readers have given a name ({named:,} of {asked:,} looked at)."
    if not left:
        return Check(title, Result.GOOD, f"{found} The others read words of their own.")
    if named == asked:
        return Check(title, Result.GOOD, found)
    todo = 'The others see a gap where these stand: give them a word of their own, such as {{ name | default: "reader" }}.'
    return Check(title, Result.WARN, found, todo, tuple(map(str, left[:MOST_HOLES])))


def logic_check(content: CompiledContent, readers: int) -> Check:
    """What conditions and filters cost for that many readers: measured here, so call it in a thread."""
    title = "Logic for each reader"
    if not content.has_logic:
        return Check(title, Result.GOOD, "None: each mail is put together from ready pieces.")
    began = time.perf_counter()
    for number in range(TRIED):
        content.values(Reader(f"Reader {number}" if number % 2 else "", "1 January 2026", "https://example.org/unsubscribe/x"))
    each = (time.perf_counter() - began) / TRIED
    found = (
        f"Conditions or filters are worked out for each reader: about {each * 1e6:,.0f} µs,"
        f" {_long(each * readers)} of one processor in all."
    )
    slow = each * readers > SLOW
    return Check(
        title, Result.WARN if slow else Result.GOOD, found, "Leave out conditions that few readers need." if slow else ""
    )


def _long(seconds: float) -> str:
    if seconds < 0.5:
        return "well under a second"
    if seconds < 1.5:
        return "about a second"
    return f"{seconds:,.0f} seconds" if seconds < 90 else f"{seconds / 60:,.0f} minutes"


def languages_check(page: Page, sample: Sequence[SampleRow]) -> Check:
    """Whether those looked at have a text in their language."""
    title = "Languages"
    written = {each.language for each in page.written}
    missing = [row for row in sample if row.language not in written]
    if not missing or not written:
        return Check(
            title, Result.GOOD, "Every reader has a text in their language." if sample else "There are no readers yet."
        )
    first = next((each for each in page.mailing_list.languages if each in written), min(written))
    share = sum(row.readers for row in missing) * 100 / sum(row.readers for row in sample)
    details = tuple(f"{language_name(row.language)}: {row.readers:,} of those looked at" for row in missing)
    return Check(
        title,
        Result.WARN,
        f"{share:.0f} % of the readers speak a language without a text: they get {language_name(first)}.",
        "Write in these languages too, or leave it so.",
        details,
    )


def left_out_lines(suppressed: Sequence[LeftOut], readers: int) -> list[str]:
    """Why people who are suppressed do not get it: of so many `readers` of which a sample was looked at."""
    scale = max(1.0, readers / SAMPLE)
    about = "about " if scale > 1 else ""
    return [f"{about}{row.readers * scale:,.0f} {_LEFT_OUT[row.reason]}" for row in suppressed]
