"""What mkdocs does with each page of the documentation: formulas become MathML, which browsers draw without a script from elsewhere; a click on a picture shows it large."""

import html
import re
from typing import Any

_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)
_PICTURE = re.compile(r'(?<!">)<img\b[^>]*\bsrc="([^"]+)"[^>]*>')


def with_formulas(page: str) -> str:
    """Return a page's HTML with every formula that arithmatex marked as MathML."""
    from latex2mathml.converter import convert

    def drawn(found: re.Match[str]) -> str:
        return convert(html.unescape(found[3]).strip(), display="block" if found[2] == "[" else "inline")

    return _FORMULA.sub(drawn, page)


def with_large_pictures(page: str) -> str:
    """Return a page's HTML with every picture as a link to itself; those that are links already stay."""
    return _PICTURE.sub(lambda found: f'<a href="{found[1]}">{found[0]}</a>', page)


def on_page_content(html: str, **_: Any) -> str:
    """Be called by mkdocs with each page."""
    return with_large_pictures(with_formulas(html))
