"""A model card as a page that needs nothing else, and as Markdown."""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from typing import TYPE_CHECKING

from ml_assets.evaluation.card.parts import CardFigure, ModelCard

if TYPE_CHECKING:
    from jinja2 import Environment

SPECIAL = str.maketrans({
    "\\": "\\\\", "|": "\\|", "`": "\\`", "*": "\\*", "_": "\\_", "[": "\\[", "]": "\\]",
    "<": "&lt;", ">": "&gt;", "&": "&amp;", "\n": " ", "\r": " "})
"""What Markdown, or HTML in it, would take for more than text."""


def page(card: ModelCard) -> str:
    """One HTML document: styles and images are in it, scripts and links to elsewhere are not."""
    return _templates().get_template("report.html").render(card=card)


def markdown(card: ModelCard) -> str:
    """The same without images."""
    return _templates().get_template("model_card.md").render(card=card).strip() + "\n"


def plain(text: object) -> str:
    """A text that stands in Markdown as it is."""
    return str(text).translate(SPECIAL)


@cache
def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    def image(figure: CardFigure) -> Markup:
        if isinstance(figure.image, str):
            return Markup(figure.image)  # an SVG of `forest`, which escapes what it names
        return Markup('<img alt="{}" src="data:image/png;base64,{}">').format(
            figure.caption, b64encode(figure.image).decode())

    made = Environment(
        loader=PackageLoader(__package__, ""), trim_blocks=True, lstrip_blocks=True,
        undefined=StrictUndefined, autoescape=lambda name: bool(name and name.endswith(".html")))
    made.filters |= {"image": image, "plain": plain}
    return made
