"""Formulas of the documentation as MathML, which browsers draw by themselves: a hook of mkdocs, so that no page fetches a script from elsewhere."""

import html
import re
from typing import Any

_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)


def with_formulas(page: str) -> str:
    """Return a page's HTML with every formula that arithmatex marked as MathML."""
    from latex2mathml.converter import convert

    def drawn(found: re.Match[str]) -> str:
        return convert(html.unescape(found[3]).strip(), display="block" if found[2] == "[" else "inline")

    return _FORMULA.sub(drawn, page)


def on_page_content(html: str, **_: Any) -> str:
    """Be called by mkdocs with each page."""
    return with_formulas(html)
