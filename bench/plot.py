"""The picture of the benchmarks: per row one bar a server, as a multiple of Tandem's value, on a logarithmic
scale: shorter is better, Tandem is the line at 1."""
import html
import math

COLOURS = {"relay": "#8a8f98", "mosquitto": "#3d6fb4", "aedes": "#c98a2b"}
LEFT, WIDE, BAR, GAP, TOP = 330, 460, 11, 14, 54
TICKS = [0.5, 1, 2, 5, 10, 20, 50, 100, 200]


def at(value):
    low, high = math.log(TICKS[0]), math.log(TICKS[-1])
    return LEFT + WIDE * (min(max(math.log(value), low), high) - low) / (high - low)


def text(x, y, words, more=""):
    return f'<text x="{x:.0f}" y="{y:.0f}" {more}>{html.escape(words)}</text>'


def scale(height):
    for tick in TICKS:
        x, strong = at(tick), tick == 1
        yield (f'<line x1="{x:.0f}" x2="{x:.0f}" y1="{TOP - 8}" y2="{height - 8}" '
               f'stroke="{"#1f9d6b" if strong else "#d5d8dd"}" stroke-width="{2 if strong else 1}"/>')
        yield text(x, TOP - 14, f"{tick:g}x", 'text-anchor="middle"')


def row(y, what, values):
    yield text(LEFT - 8, y + BAR * len(values) / 2 + 4, what, 'text-anchor="end"')
    for name, value in values:
        x, end = sorted((at(1), at(value)))
        yield (f'<rect x="{x:.1f}" y="{y}" width="{max(end - x, 1):.1f}" height="{BAR - 2}" '
               f'fill="{COLOURS[name]}"><title>{name}: {value:.2f}</title></rect>')
        y += BAR


def draw(rows):
    """rows: (what, {server: multiple of Tandem's value})."""
    body, y = [], TOP
    for what, got in rows:
        values = [(name, value) for name, value in got.items() if name in COLOURS]
        body += row(y, what, values)
        y += BAR * len(values) + GAP
    legend, x = [], LEFT
    for name, colour in {**COLOURS, "Tandem": "#1f9d6b"}.items():
        legend += [f'<rect x="{x}" y="8" width="12" height="12" fill="{colour}"/>', text(x + 17, 18, name)]
        x += 100
    wide = LEFT + WIDE + 30
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {y}" font-family="sans-serif" '
                      f'font-size="12" fill="#30343a">',
                      f'<rect width="{wide}" height="{y}" fill="#ffffff"/>', *legend, *scale(y), *body, "</svg>", ""])
