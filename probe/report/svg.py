"""A chart as part of a page: drawn by matplotlib, written as inline SVG whose colours are the page's own.

Matplotlib knows only fixed colours. It is given placeholders, and each is replaced by a CSS variable: the page decides
what colour that is in the light and in the dark. Text stays text. Nothing is fetched, and no date is written.
"""

import html
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from head2toe.store.common.errors import MissingExtra

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 380
"""The width of a chart in CSS pixels, which is a phone's; wider columns scale it up."""
INK, MUTED, RULE, ACCENT, PAPER = "#010203", "#020304", "#030405", "#040506", "#050607"
LINES = ("#0a0b0c", "#0b0c0d", "#0c0d0e", "#0d0e0f", "#0e0f10", "#0f1011")
"""The colours of the methods in one chart; markers tell them apart where colours do not."""
MARKERS = ("o", "s", "D", "^", "v", "P")
VARIABLES = {INK: "ink", MUTED: "muted", RULE: "rule", ACCENT: "accent", PAPER: "paper"} | {
    colour: f"line{i}" for i, colour in enumerate(LINES)
}
STYLE: dict[Any, Any] = {
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "font.size": 11,
    "grid.color": RULE,
    "grid.linewidth": 0.8,
    "svg.fonttype": "none",
    "svg.hashsalt": "head2toe",
    "text.color": INK,
    "text.parse_math": False,  # a class may be called "$10"
    "xtick.color": MUTED,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
}


@contextmanager
def drawing(height: float) -> Iterator["tuple[Figure, Axes]"]:
    """Yield a figure of `WIDTH` x height CSS pixels and its axes, in the page's style.

    Raises
    ------
    MissingExtra
        Matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError as error:
        raise MissingExtra("the report needs matplotlib: pip install 'head2toe[report]'") from error
    with rc_context(STYLE), warnings.catch_warnings():
        # The browser draws the text, in fonts of its own: matplotlib's lack of a glyph does not matter.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing")
        figure = Figure(figsize=(WIDTH / 72, height / 72), layout=ConstrainedLayoutEngine(h_pad=0.03, w_pad=0.03))
        yield figure, figure.subplots()


def inline(figure: "Figure", name: str, title: str, description: str) -> str:
    """Write a figure as an `<svg>` element, whose title and description are for those who can't see it.

    Parameters
    ----------
    figure : Figure
    name : str
        Begins every id in the chart, and so is unique on the page.
    title : str
        What the chart shows, in a line.
    description : str
        Its numbers.

    Returns
    -------
    str
        Markup, in which title, description and all text of the figure are escaped.
    """
    sink = io.StringIO()
    figure.savefig(sink, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    body = sink.getvalue()
    box = re.search(r'viewBox="([^"]+)"', body)
    if box is None:
        raise AssertionError("matplotlib wrote an SVG without a viewBox")
    body = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r"^.*?<svg[^>]*>|</svg>\s*$", "", body, flags=re.DOTALL)
    body = re.sub(r"<[^<>]*>", lambda tag: _fitted(tag[0], name), body)
    return (
        f'<svg class="chart" viewBox="{box[1]}" role="img" aria-labelledby="{name}-t {name}-d">'
        f'<title id="{name}-t">{html.escape(title)}</title><desc id="{name}-d">{html.escape(description)}</desc>'
        f"{body.strip()}</svg>"
    )


def _fitted(tag: str, name: str) -> str:
    """A tag with ids of the chart's own and colours of the page's; what stands between tags is text, and left alone."""
    tag = tag.replace("xlink:href=", "href=").replace(" \n", "\n")  # every line of a path ends with a space
    tag = re.sub(r'\bid="', f'id="{name}-', tag)
    tag = re.sub(r'(url\(|href=")#', rf"\1#{name}-", tag)
    return re.sub("|".join(VARIABLES), lambda colour: f"var(--{VARIABLES[colour[0]]})", tag)


def short(text: str, length: int = 16) -> str:
    """Cut a name to a length that fits beside an axis: in one line, with an ellipsis for what is left out."""
    line = "".join(c if c.isprintable() else " " for c in text)
    return line if len(line) <= length else f"{line[: length - 1]}…"


def spread(n: int, k: int) -> Sequence[int]:
    """Choose at most k of n positions, evenly spread, the first and the last among them."""
    return range(n) if n <= k else sorted({round(i * (n - 1) / (k - 1)) for i in range(k)})
