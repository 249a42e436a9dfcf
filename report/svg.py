"""Charts as inline SVG, coloured by the page's CSS classes, so that they follow light and dark.

They are drawn to a fixed grid. Coordinates are rounded to a tenth, and nothing else enters: the
same data gives the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, HEIGHT = 480, 280
LEFT, RIGHT, TOP, BOTTOM = 60, 12, 14, 44
# A line chart of a longer run shows the means of equal groups of steps.
MAX_POINTS = 600


@dataclass(frozen=True)
class Series:
    """One line: points (x, y) in order of x. `dots` marks each point, for sparse measurements."""

    name: str
    color: str
    points: Sequence[tuple[float, float]]
    dots: bool = False


@dataclass(frozen=True)
class Axis:
    """A linear scale from data to pixels, with its ticks."""

    low: float
    high: float
    start: float
    end: float
    label: str

    def at(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        return nice_ticks(self.low, self.high)


def nice_ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round values (1, 2 or 5 times a power of ten apart) inside [low, high]."""
    raw = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def short(value: float) -> str:
    """A tick label: 0.25, 12, 3k, 1.5M, 3e-04."""
    if value == 0:
        return "0"
    size = abs(value)
    if size < 1e-3:
        return f"{value:.0e}".replace("e-0", "e-")
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"


def lines(
    title: str,
    series: Sequence[Series],
    x: str,
    y: str,
    y_range: tuple[float | None, float | None] = (None, None),
) -> Markup:
    """Lines over a shared x.

    A side of `y_range` that is None follows the data. At least one point must be there.
    """
    xs = [p[0] for s in series for p in s.points]
    ys = [p[1] for s in series for p in s.points]
    low = min(ys) if y_range[0] is None else y_range[0]
    high = max(ys) if y_range[1] is None else y_range[1]
    pad = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    low = low - pad if y_range[0] is None else low
    high = high + pad if y_range[1] is None else high
    across = _x_axis(min(xs), max(xs) if max(xs) > min(xs) else min(xs) + 1, x)
    up = _y_axis(low, high, y)
    parts = [_grid(across, up)]
    for s in series:
        points = [(across.at(px), up.at(py)) for px, py in thinned(s.points)]
        if len(points) > 1:
            path = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
            parts.append(f'<polyline class="line {s.color}" points="{path}"/>')
        if s.dots or len(points) == 1:
            for (px, py), (vx, vy) in zip(points, thinned(s.points), strict=True):
                tip = _tip(f"{s.name}: {vy:.4g} at {vx:g}")
                parts.append(_circle(px, py, "3.2", f"dot {s.color}", tip))
    return _svg(title, parts)


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most MAX_POINTS points: means of equal groups of neighbours."""
    group = math.ceil(len(points) / MAX_POINTS)
    chunks = [points[i : i + group] for i in range(0, len(points), max(group, 1))]
    return [(sum(p[0] for p in c) / len(c), sum(p[1] for p in c) / len(c)) for c in chunks]


def histogram(
    title: str,
    edges: Sequence[float],
    stacks: Sequence[tuple[str, str, Sequence[int]]],
    x: str,
    y: str,
    marks: Sequence[tuple[float, str]] = (),
) -> Markup:
    """Bars over [edges[i], edges[i+1]), stacked from (name, colour, counts).

    marks: (x, label) of vertical lines.
    """
    totals = [sum(counts) for counts in zip(*(s[2] for s in stacks), strict=True)]
    across = _x_axis(edges[0], edges[-1], x)
    up = _y_axis(0, max(totals) * 1.08 or 1, y)
    parts = [_grid(across, up)]
    for i in range(len(edges) - 1):
        left, right, base = across.at(edges[i]), across.at(edges[i + 1]), 0
        for name, color, counts in stacks:
            if counts[i]:
                top, bottom = up.at(base + counts[i]), up.at(base)
                base += counts[i]
                tip = _tip(f"{name}: {counts[i]:,} in {edges[i]:.3g}-{edges[i + 1]:.3g}")
                parts.append(_rect(left + 0.5, top, right - left - 1, bottom - top, color, tip))
    parts += [_mark(across.at(value), label) for value, label in marks]
    return _svg(title, parts)


def columns(
    title: str, values: Sequence[tuple[str, int]], x: str, y: str, color: str = "c1"
) -> Markup:
    """One column per category, with its count above it."""
    up = _y_axis(0, max(v for _, v in values) * 1.14 or 1, y)
    slot = (WIDTH - LEFT - RIGHT) / len(values)
    width = min(slot * 0.74, 56)
    parts = [_grid(None, up)]
    for i, (label, value) in enumerate(values):
        middle, top = LEFT + slot * (i + 0.5), up.at(value)
        parts.append(
            _rect(
                middle - width / 2, top, width, up.at(0) - top, color, _tip(f"{label}: {value:,}")
            )
        )
        if slot > 44:
            parts.append(_text(middle, top - 5, f"{value:,}", "value"))
        if slot > 34 or i % 2 == 0:
            parts.append(_text(middle, HEIGHT - BOTTOM + 17, label, "tick"))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x, "axis"))
    return _svg(title, parts)


def bubbles(
    title: str, cells: Sequence[tuple[float, float, int]], x: str, y: str, diagonal: bool = True
) -> Markup:
    """Counts on a grid over [0, 1] x [0, 1], as discs whose area is the count.

    diagonal: whether the line of agreement is drawn.
    """
    across, up = _x_axis(-0.03, 1.03, x), _y_axis(-0.05, 1.05, y)
    parts = [_grid(across, up)]
    if diagonal:
        ends = (across.at(0), up.at(0), across.at(1), up.at(1))
        parts.append(_line("diagonal", *(f"{value:.1f}" for value in ends)))
    largest = max(count for _, _, count in cells)
    for cx, cy, count in cells:
        radius = max(9 * math.sqrt(count / largest), 1.1)
        tip = _tip(f"{count:,} at {x} {cx:.2f}, {y} {cy:.2f}")
        parts.append(_circle(across.at(cx), up.at(cy), f"{radius:.1f}", "bubble c1", tip))
    return _svg(title, parts)


def shares(
    title: str, xs: Sequence[float], stacks: Sequence[tuple[str, str, Sequence[float]]], x: str
) -> Markup:
    """Stacked areas that fill [0, 1] at every x: (name, colour, share at each x)."""
    across = _x_axis(xs[0], xs[-1] if xs[-1] > xs[0] else xs[0] + 1, x)
    up = _y_axis(0, 1, "share")
    spots = [across.at(v) for v in xs] if len(xs) > 1 else [across.start, across.end]
    below = [0.0] * len(spots)
    parts = []
    for name, color, values in stacks:
        above = [
            b + v for b, v in zip(below, values if len(xs) > 1 else [values[0]] * 2, strict=True)
        ]
        path = [f"{px:.1f},{up.at(v):.1f}" for px, v in zip(spots, above, strict=True)]
        path += [
            f"{px:.1f},{up.at(v):.1f}" for px, v in reversed(list(zip(spots, below, strict=True)))
        ]
        parts.append(
            f'<polygon class="fill {color}" points="{" ".join(path)}">{_tip(name)}</polygon>'
        )
        below = above
    return _svg(title, [*parts, _grid(across, up)])


def _x_axis(low: float, high: float, label: str) -> Axis:
    return Axis(low, high, LEFT, WIDTH - RIGHT, label)


def _y_axis(low: float, high: float, label: str) -> Axis:
    return Axis(low, high, HEIGHT - BOTTOM, TOP, label)


def _grid(across: Axis | None, up: Axis) -> str:
    parts = []
    for value in up.ticks():
        height = f"{up.at(value):.1f}"
        parts.append(_line("grid", LEFT, height, WIDTH - RIGHT, height))
        parts.append(_text(LEFT - 7, up.at(value) + 4, short(value), "tick end"))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    turned = f"translate(13 {middle:.1f}) rotate(-90)"
    parts.append(f'<text class="axis" transform="{turned}">{escape(up.label)}</text>')
    if across is not None:
        for value in across.ticks():
            parts.append(_text(across.at(value), HEIGHT - BOTTOM + 17, short(value), "tick"))
        parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, across.label, "axis"))
    parts.append(_line("base", LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM))
    return "".join(parts)


def _mark(at: float, label: str) -> str:
    side, shift = ("end", -5) if at > WIDTH * 0.6 else ("start", 5)
    line = _line("mark", f"{at:.1f}", TOP, f"{at:.1f}", HEIGHT - BOTTOM)
    return line + _text(at + shift, TOP + 9, label, f"mark {side}")


def _rect(x: float, y: float, width: float, height: float, color: str, tip: str) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="{height:.1f}"'
    return f'<rect class="fill {color}" {place}>{tip}</rect>'


def _line(style: str, x1: object, y1: object, x2: object, y2: object) -> str:
    return f'<line class="{style}" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>'


def _circle(x: float, y: float, radius: str, style: str, tip: str) -> str:
    return f'<circle class="{style}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}">{tip}</circle>'


def _text(x: float, y: float, text: str, style: str) -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def _tip(text: str) -> str:
    return f"<title>{escape(text)}</title>"


def _svg(title: str, parts: Sequence[str]) -> Markup:
    head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
    return Markup(head + "".join(parts) + "</svg>")
