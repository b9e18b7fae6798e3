"""Altair charts as SVG, which takes its colours from the page that it stands in.

Static SVG rather than Vega in the browser: that would add a megabyte of script to every page and need a policy
that lets it run. SVG needs neither, prints, and shows figures in tooltips all the same.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from typing import Any

__all__ = ["COLOURS", "specification", "to_svg"]

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
"""The light colours of the charts by name; the style sheet has them and the dark ones as custom properties.

Blue, orange and green differ for colour-blind readers, too (after Okabe and Ito 2008).
"""

_FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
"""vl-convert brings the first, so that layout does not depend on what is installed; the others are as wide."""

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
"""Vega-Lite's config of all charts."""

_SVG = "http://www.w3.org/2000/svg"
_BY_COLOUR = {colour: name for name, colour in COLOURS.items()}
_DROPPED = ("aria-hidden", "aria-roledescription", "role", "pointer-events", "font-family", "class")
_GUIDE = re.compile(r"[XY]-axis |(Symbol|Gradient) legend|Title text")


def _add_tooltip(element: ElementTree.Element) -> None:
    """Turn the description of a mark into its tooltip."""
    mark, label = element.get("role") == "graphics-symbol", element.get("aria-label")
    for name in (*_DROPPED, "aria-label"):
        element.attrib.pop(name, None)
    if mark and label and not _GUIDE.match(label):
        title = ElementTree.Element(f"{{{_SVG}}}title")
        title.text = label
        element.insert(0, title)


def _drop_invisible(element: ElementTree.Element) -> None:
    for child in list(element):
        _drop_invisible(child)
        invisible = child.get("display") == "none" or child.get("d") == "M0,0h0v0h0Z"
        if invisible or (child.tag == f"{{{_SVG}}}g" and not len(child)):
            element.remove(child)


def specification(chart: Any, title: str = "") -> dict[str, Any]:
    """Return an Altair chart as Vega-Lite, checked against its schema."""
    return {**chart.to_dict(), "config": _CONFIG, **({"title": title} if title else {})}


def to_svg(specification: dict[str, Any], summary: str) -> str:
    """Return a chart as an `<svg>` element for a page. summary: its text for screen readers."""
    import vl_convert

    root = ElementTree.fromstring(vl_convert.vegalite_to_svg(specification))
    width, height = root.get("width", "0"), root.get("height", "0")
    _drop_invisible(root)
    for element in root.iter():
        _add_tooltip(element)
        for key, value in element.attrib.items():
            if value in _BY_COLOUR:
                element.set(key, f"var(--{_BY_COLOUR[value]})")
    root.attrib = {"viewBox": f"0 0 {width} {height}", "role": "img", "aria-label": summary,
                   "style": f"max-width:{width}px"}  # fmt: skip
    ElementTree.register_namespace("", _SVG)
    return ElementTree.tostring(root, encoding="unicode")
