"""HTML for a mail from HTML that anybody may have written: allow-lists, styles written into the tags, limits.

Only elements, attributes and styles of an allow-list come through, links are http, https or mailto, nothing is loaded while we
work, and nothing that would take minutes, or more stack than there is, is begun.
"""

from __future__ import annotations

import html
import re
from collections import Counter

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
_RAW = frozenset({"script", "style", "xmp", "iframe", "noembed", "noframes", "noscript", "plaintext"})
"""Elements whose content is text to a browser, whatever stands in it."""


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
_BAD_STYLE = re.compile(r"url|image|expression|\\|@|/\*|[<>{}]|calc", re.IGNORECASE)
_NEGATIVE = re.compile(r"-\s*[0-9.]")

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
    losses = _Losses()
    for token in _TOKEN.finditer(_well_formed(markup)):
        losses.add(token)
    return losses.found


def _well_formed(markup: str) -> str:
    """The same with all that is in it, as a browser reads it: every element closed, every value quoted, in linear time."""
    names = {name.lower() for name in re.findall(r"<([a-zA-Z][^\s/>]*)", markup)}
    schemes = {scheme.lower() for scheme in re.findall(r"([a-zA-Z][a-zA-Z0-9+.-]{0,30}):", markup)}
    return nh3.clean(
        markup,
        tags=names | {"a"},
        clean_content_tags=set(),
        attributes={},
        generic_attribute_prefixes={""},
        strip_comments=False,
        link_rel=None,
        url_schemes=schemes | _SCHEMES,
    )


_UNMISSED_ELEMENTS = {"html", "head", "body", "meta", "title"}
_UNMISSED_ATTRIBUTES = _words("class id name rel target xmlns")
_ATTRIBUTE = r'\s+[^\s=>"]+="[^"]*"'
_TOKEN = re.compile(
    rf"""<!--(?P<comment>.*?)-->
       | <(?P<raw>{"|".join(_RAW)})(?:{_ATTRIBUTE})*\s*>(?P<content>.*?)</(?P=raw)>
       | <(?P<end>/?)(?P<name>[a-zA-Z][^\s/>]*)(?P<attributes>(?:{_ATTRIBUTE})*)\s*>""",
    re.DOTALL | re.VERBOSE,
)
"""Of what is well formed; what is inside raw elements is text."""


class _Losses:
    """Counts. What is inside an element that goes as a whole is not told for itself."""

    def __init__(self) -> None:
        self.found: Counter[str] = Counter()
        self._within = ""
        self._depth = 0

    def add(self, token: re.Match[str]) -> None:
        """The next one of what `_well_formed` made."""
        name = token["raw"] or token["name"]
        if self._within:
            if name == self._within:
                self._depth += -1 if token["end"] else 1
                self._within = self._within if self._depth else ""
        elif token["comment"] is not None:
            if re.match(r"\[\s*if\s", token["comment"]):
                self.found["comment for Outlook"] += 1
        elif token["raw"] == "style":
            self._sheet(token["content"])
        elif not token["end"]:
            self._element(name, token["attributes"] or "")

    def _element(self, name: str, attributes: str) -> None:
        if name in _ELEMENTS:
            for attribute, value in re.findall(r'([^\s=>"]+)="([^"]*)"', attributes):
                self._attribute(name, attribute, html.unescape(value))
        elif name not in _UNMISSED_ELEMENTS:
            self.found[name] += 1
            if name in _DROPPED_WHOLE - _NO_CONTENT - _RAW:
                self._within, self._depth = name, 1

    def _sheet(self, content: str) -> None:
        self.found.update(re.findall(r"@[a-z-]+", content))
        for block in re.findall(r"\{([^{}]*)\}", content):
            self._styles(block)

    def _attribute(self, element: str, name: str, value: str) -> None:
        scheme = re.match(r"\s*([a-zA-Z][a-zA-Z0-9+.-]*):", value) if name in ("href", "src") else None
        if name == "style":
            self._styles(value)
        elif scheme and scheme[1].lower() not in _SCHEMES:
            self.found[f"{name} with {scheme[1].lower()}:"] += 1
        elif name not in _ATTRIBUTES["*"] | _ATTRIBUTES.get(element, set()) | _UNMISSED_ATTRIBUTES and name[:5] != "data-":
            self.found[name] += 1

    def _styles(self, declarations: str) -> None:
        for declaration in re.sub(r"url\([^()]*\)", "url", _without_comments(declarations)).split(";"):
            name = declaration.partition(":")[0].strip().lower()
            if name and (name not in _PROPERTIES or _is_bad(declaration)):
                self.found[f"style {name}"] += 1


def _without_comments(style: str) -> str:
    """By hand, since a pattern would look for the end of each comment that has none up to the end of everything."""
    kept, _, rest = style.partition("/*")
    while rest:
        more, _, rest = rest.partition("*/")[2].partition("/*")
        kept += more
    return kept


def _is_bad(declaration: str) -> bool:
    name, _, value = declaration.partition(":")
    return bool(_BAD_STYLE.search(declaration) or ("margin" in name.lower() and _NEGATIVE.search(value)))


def _safe_style(_element: str, attribute: str, value: str) -> str | None:
    if attribute != "style":
        return value
    return ";".join(declaration for declaration in value.split(";") if not _is_bad(declaration)) or None


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
