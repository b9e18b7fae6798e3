"""Altair charts as pictures: SVG that takes its colours from the page it stands in, and PNG.

Static pictures rather than Vega in the browser: that would add a megabyte of script to every page and need a
policy that lets it run; SVG needs neither, prints, and shows figures in tooltips all the same.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from typing import Any

__all__ = ["COLOURS", "joined", "specification", "to_png", "to_svg"]

COLOURS = {
    "ink": "#1c1d21",
    "quiet": "#62646c",
    "grid": "#e3e3de",
    "blue": "#1f5fa8",
    "orange": "#b9540c",
    "green": "#1d7a63",
    "pale": "#8fb6de",
    "amber": "#e0a45c",
    "mist": "#b9bbc1",
    "fog": "#d6d7da",
    "plum": "#8a4a86",
}
"""The light colours of everything that charts draw, by name; the style sheet has them and the dark ones as
custom properties. Blue, orange and green differ for colour-blind readers, too (after Okabe and Ito 2008)."""

_FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
"""vl-convert brings the first, so that a PNG does not depend on what is installed; the others are as wide."""

PNG_SCALE = 2.0

_CONFIG: dict[str, Any] = {
    "font": _FONT,
    "background": "transparent",
    "padding": 4,
    "view": {"stroke": None},
    "axis": {
        "labelColor": COLOURS["quiet"], "titleColor": COLOURS["quiet"], "titleFontWeight": "normal",
        "titleFontSize": 12, "labelFontSize": 12, "gridColor": COLOURS["grid"], "domain": False,
        "ticks": False, "labelPadding": 6, "titlePadding": 8,
    },
    "legend": {
        "orient": "top", "title": None, "labelColor": COLOURS["ink"], "labelFontSize": 12, "labelLimit": 300,
        "symbolSize": 60, "symbolOpacity": 1, "symbolStrokeWidth": 0, "offset": 10, "padding": 0,
    },
    "title": {"color": COLOURS["ink"], "fontSize": 13, "fontWeight": "bold", "anchor": "start", "offset": 4},
}  # fmt: skip
"""What all charts have in common, as Vega-Lite's config."""

_SVG = "http://www.w3.org/2000/svg"
_BY_COLOUR = {colour: name for name, colour in COLOURS.items()}
_DROPPED = ("aria-hidden", "aria-roledescription", "role", "pointer-events", "font-family", "class")
_GUIDE = re.compile(r"[XY]-axis |(Symbol|Gradient) legend|Title text")


def _told(element: ElementTree.Element) -> None:
    """The description of a mark as its tooltip."""
    mark, label = element.get("role") == "graphics-symbol", element.get("aria-label")
    for name in (*_DROPPED, "aria-label"):
        element.attrib.pop(name, None)
    if mark and label and not _GUIDE.match(label):
        title = ElementTree.Element(f"{{{_SVG}}}title")
        title.text = label
        element.insert(0, title)


def _drop_what_shows_nothing(element: ElementTree.Element) -> None:
    for child in list(element):
        _drop_what_shows_nothing(child)
        nothing = child.get("display") == "none" or child.get("d") == "M0,0h0v0h0Z"
        if nothing or (child.tag == f"{{{_SVG}}}g" and not len(child)):
            element.remove(child)


def specification(chart: Any, title: str = "") -> dict[str, Any]:
    """An Altair chart as Vega-Lite, checked against its schema."""
    return {**chart.to_dict(), "config": _CONFIG, **({"title": title} if title else {})}


def joined(specifications: list[dict[str, Any]], columns: int) -> dict[str, Any]:
    """Several charts in one picture. On dictionaries, since Altair copies all that it joins many times."""
    data = {name: rows for one in specifications for name, rows in one["datasets"].items()}
    parts = [
        {key: value for key, value in one.items() if key not in ("$schema", "config", "datasets")}
        for one in specifications
    ]
    shared = {"$schema": specifications[0]["$schema"], "config": _CONFIG, "datasets": data}
    return {**shared, "columns": columns, "concat": parts}


def to_svg(specification: dict[str, Any], summary: str) -> str:
    """A chart as an `<svg>` element for a page; summary: what a screen reader says of it."""
    import vl_convert

    root = ElementTree.fromstring(vl_convert.vegalite_to_svg(specification))
    width, height = root.get("width", "0"), root.get("height", "0")
    _drop_what_shows_nothing(root)
    for element in root.iter():
        _told(element)
        for key, value in element.attrib.items():
            if value in _BY_COLOUR:
                element.set(key, f"var(--{_BY_COLOUR[value]})")
    root.attrib = {"viewBox": f"0 0 {width} {height}", "role": "img", "aria-label": summary,
                   "style": f"max-width:{width}px"}  # fmt: skip
    ElementTree.register_namespace("", _SVG)
    return ElementTree.tostring(root, encoding="unicode")


def to_png(specification: dict[str, Any]) -> bytes:
    """A chart as PNG, in the light colours, on white."""
    import vl_convert

    return vl_convert.vegalite_to_png({**specification, "background": "white"}, scale=PNG_SCALE)
