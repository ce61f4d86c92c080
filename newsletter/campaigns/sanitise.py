"""HTML for a mail from HTML that anybody may have written: allow-lists, styles written into the tags, limits.

Only elements, attributes and styles of an allow-list come through, links are http, https or mailto, nothing is loaded while we
work, and nothing that would take minutes, or more stack than there is, is begun.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from html.parser import HTMLParser

import css_inline
import nh3

from newsletter.core.errors import InvalidContent

MAX_DEPTH = 200
"""Elements inside one another. css-inline recurses: measured, some ten thousand of them end the process."""
MAX_ELEMENTS = 10_000
"""Elements in all: a hundred times what a long letter has, and still the work of a second or two."""
MAX_STYLING = 1_000_000
"""Declarations in style sheets times elements that they may apply to: what inlining costs in time."""

VOID = frozenset({"br", "col", "hr", "img", "wbr"})
"""The elements we let through that have no end tag."""
_SCHEMES = {"http", "https", "mailto"}
_NO_CONTENT = frozenset({"area", "base", "embed", "input", "link", "meta", "param", "source", "track"})
"""The elements we do not let through that have no end tag."""


def _words(text: str) -> set[str]:
    return set(text.split())


_ELEMENTS = _words("""
    a abbr b bdi bdo big blockquote br caption center cite code col colgroup dd del dfn div dl dt em figcaption figure font
    h1 h2 h3 h4 h5 h6 hr i img ins kbd li mark ol p pre q s samp section small span strike strong sub sup table tbody td tfoot
    th thead tr tt u ul var wbr
""")
_DROPPED_WHOLE = _words("""
    script style title textarea noscript noembed noframes iframe object embed applet svg math template select button audio video
    canvas
""")
_CELL = _words("valign bgcolor width height colspan rowspan scope nowrap")
_ATTRIBUTES = {
    "*": _words("style dir lang title align role aria-label aria-hidden"),
    "a": {"href"},
    "img": _words("src alt width height border"),
    "table": _words("width height cellpadding cellspacing border bgcolor"),
    "td": _CELL,
    "th": _CELL,
    "tr": _words("valign bgcolor"),
    "col": _words("span width"),
    "colgroup": _words("span width"),
    "font": _words("color face size"),
    "ol": _words("start type"),
    "li": {"value"},
}
_SIDES = ("top", "right", "bottom", "left")
_PROPERTIES = {
    *_words("""
        background background-color border border-collapse border-radius border-spacing clear color direction display float font
        font-family font-size font-style font-variant font-weight height letter-spacing line-height list-style list-style-type
        margin max-height max-width min-height min-width overflow-wrap padding table-layout text-align text-decoration
        text-indent text-transform vertical-align white-space width word-break word-spacing word-wrap
    """),
    *(f"{box}-{side}" for box in ("margin", "padding", "border") for side in _SIDES),
    *(f"border-{what}" for what in ("color", "style", "width")),
    *(f"border-{side}-{what}" for side in _SIDES for what in ("color", "style", "width")),
}
# A style may load nothing, run nothing, hide behind an escape, or pull what follows it (our footer) over or under itself.
_BAD_STYLE = re.compile(r"url|image|expression|\\|@|/\*|[<>{}]|calc|margin[a-z-]*\s*:[^;]*-\s*[0-9.]", re.IGNORECASE)

_BASE = """
p { margin: 0 0 16px }
h1 { margin: 0 0 16px; font: 600 26px/1.2 Georgia, serif }
h2 { margin: 28px 0 12px; font: 600 20px/1.3 Georgia, serif }
h3, h4, h5, h6 { margin: 24px 0 8px; font-size: 16px; line-height: 1.4; font-weight: 600 }
a { color: #0b5d63 }
a.button { display: inline-block; margin: 8px 0; padding: 12px 20px; background: #0b5d63; color: #ffffff; font-weight: 600;
  text-decoration: none; border-radius: 8px }
ul, ol { margin: 0 0 16px; padding: 0 24px }
li { margin: 0 0 6px }
blockquote { margin: 0 0 16px; padding: 2px 16px; border: 0 solid #b9c4c6; border-END-width: 3px }
blockquote p { margin: 8px 0 }
code, pre { font-family: Menlo, Consolas, monospace; font-size: 14px }
pre { margin: 0 0 16px; padding: 12px 14px; background: #f2f0ea; border-radius: 8px; white-space: pre-wrap;
  word-wrap: break-word }
hr { margin: 24px 0; border: 0; border-top: 1px solid #e2dfd7 }
img { max-width: 100%; height: auto; border: 0 }
"""
_TABLES = """
table { width: 100%; margin: 0 0 16px; border-collapse: collapse }
th, td { padding: 6px 8px; border-bottom: 1px solid #e2dfd7; text-align: END; vertical-align: top }
"""


def sanitised(markup: str, *, tables: bool, right_to_left: bool) -> str:
    """A fragment of HTML, every element of it closed, with our styles and its own in the tags; comments are kept.

    `tables`: they hold data, and get our style. Raises InvalidContent for too much of anything (see the limits above).
    """
    if len(re.findall(r"<[a-zA-Z]", markup)) > MAX_ELEMENTS:
        raise InvalidContent(
            f"The body has more than {MAX_ELEMENTS} elements (paragraphs, cells, …): shorten it.", field="body"
        )
    loose = _LOOSE.clean(markup)
    _check_work(loose)
    base = (_BASE + (_TABLES if tables else "")).replace("END", "right" if right_to_left else "left")
    try:
        inlined = _INLINER.inline(f"<style>{base}</style>{loose}")
    except css_inline.InlineError as error:
        raise InvalidContent(f"A style sheet in the body cannot be read ({error}): correct it.", field="body") from None
    return _STRICT.clean(inlined)


def taken_out(markup: str) -> Counter[str]:
    """What `sanitised` is going to take out of that, by kind and how often: elements, attributes, styles, comments for Outlook.

    Not what nobody misses, such as the head of a document or what only scripts look at.
    """
    reader = _Losses()
    reader.feed(markup)
    reader.close()
    return reader.found


_UNMISSED_ELEMENTS = {"html", "head", "body", "meta", "title"}
_UNMISSED_ATTRIBUTES = _words("class id name rel target xmlns")


class _Losses(HTMLParser):
    """Counts. What is inside an element that goes as a whole is not told for itself."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: Counter[str] = Counter()
        self._within = ""
        self._depth = 0

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        if self._within:
            self._depth += tag == self._within
        elif tag == "style":
            self._within, self._depth = tag, 1
        elif tag in _ELEMENTS:
            for name, value in attrs:
                self._attribute(tag, name, value or "")
        elif tag not in _UNMISSED_ELEMENTS:
            self.found[tag] += 1
            if tag in _DROPPED_WHOLE - _NO_CONTENT:
                self._within, self._depth = tag, 1

    def handle_endtag(self, tag: str) -> None:
        if self._within == tag:
            self._depth -= 1
            if not self._depth:
                self._within = ""

    def handle_data(self, data: str) -> None:
        if self._within == "style":
            self.found.update(re.findall(r"@[a-z-]+", data))
            for block in re.findall(r"\{([^{}]*)\}", data):
                self._styles(block)

    def handle_comment(self, data: str) -> None:
        if data.startswith("[if ") and not self._within:
            self.found["comment for Outlook"] += 1

    def _attribute(self, tag: str, name: str, value: str) -> None:
        scheme = re.match(r"\s*([a-zA-Z][a-zA-Z0-9+.-]*):", value) if name in ("href", "src") else None
        if name == "style":
            self._styles(value)
        elif scheme and scheme[1].lower() not in _SCHEMES:
            self.found[f"{name} with {scheme[1].lower()}:"] += 1
        elif name not in _ATTRIBUTES["*"] | _ATTRIBUTES.get(tag, set()) | _UNMISSED_ATTRIBUTES and name[:5] != "data-":
            self.found[name] += 1

    def _styles(self, declarations: str) -> None:
        for declaration in declarations.split(";"):
            name = declaration.partition(":")[0].strip().lower()
            if name and (name not in _PROPERTIES or _BAD_STYLE.search(declaration)):
                self.found[f"style {name}"] += 1


def _safe_style(_element: str, attribute: str, value: str) -> str | None:
    if attribute != "style":
        return value
    return ";".join(declaration for declaration in value.split(";") if not _BAD_STYLE.search(declaration)) or None


# The first pass leaves style sheets and what they select by, and takes away all that the inliner might load or choke on.
_LOOSE = nh3.Cleaner(
    tags=_ELEMENTS | {"style"},
    clean_content_tags=_DROPPED_WHOLE - {"style"},
    attributes={**_ATTRIBUTES, "*": _ATTRIBUTES["*"] | {"class", "id"}},
    strip_comments=False,
    link_rel=None,
    url_schemes=_SCHEMES,
)
_INLINER = css_inline.CSSInliner(load_remote_stylesheets=False, keep_style_tags=False, keep_link_tags=False)
_STRICT = nh3.Cleaner(
    tags=_ELEMENTS,
    clean_content_tags=_DROPPED_WHOLE,
    attributes=_ATTRIBUTES,
    allowed_classes={"a": {"button"}},
    attribute_filter=_safe_style,
    filter_style_properties=_PROPERTIES,
    strip_comments=False,
    link_rel=None,
    url_schemes=_SCHEMES,
)


def _check_work(loose: str) -> None:
    """`loose` is well formed, so that its depth is exact."""
    depth = deepest = elements = 0
    for closing, name in re.findall(r"<(/?)([a-z][a-z0-9]*)", loose):
        elements += not closing
        if name not in VOID:
            depth += -1 if closing else 1
            deepest = max(deepest, depth)
    if deepest > MAX_DEPTH:
        raise InvalidContent(f"More than {MAX_DEPTH} elements are open inside one another: close some.", field="body")
    declarations = sum(sheet.count(":") for sheet in re.findall(r"<style[^>]*>(.*?)</style>", loose, re.DOTALL))
    if declarations * elements > MAX_STYLING:
        raise InvalidContent(
            "The style sheets are too long for so many elements: leave out the rules that are not used.", field="body"
        )
