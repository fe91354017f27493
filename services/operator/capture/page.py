"""One recorded window as a page of plots: every feed, the average that settles, both books, where feeds disagreed."""

from importlib import import_module
from typing import Any

from services.operator.capture.queries import Points, Recorded, WindowFacts

FEED_COLOURS = {
    "binance_spot": "#e69f00",
    "chainlink": "#0072b2",
    "chainlink_twap": "#cc79a7",
    "pyth": "#7f7f7f",
}
SIDE_COLOURS = {"UP": "#009e73", "DOWN": "#d55e00"}
"""Okabe and Ito's colours, which nearly everybody can tell apart."""
PRICES, BOOKS, DEPTHS = 1, 2, 3
PAGE_HEIGHT = 980


class NoPlots(Exception):
    """The plotting library is not installed."""


def draw(recorded: Recorded) -> str:
    """Return a self-contained HTML page; raises NoPlots without plotly."""
    try:
        graph, subplots = import_module("plotly.graph_objects"), import_module("plotly.subplots")
    except ImportError:
        raise NoPlots("plotly is not installed: run `make setup`, which installs the group `plots`") from None
    window = recorded.window
    figure = subplots.make_subplots(
        rows=3,
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.06,
        row_heights=[0.5, 0.32, 0.18],
        subplot_titles=(
            "Feeds by time of receipt, UTC; shaded in a feed's colour: it and a faster one are apart",
            "Both tokens: bid, and ask dotted",
            "Depth within 5 % of the best price: bids above zero, asks below",
        ),
    )
    figure.update_annotations(
        x=0, xanchor="left", font_size=13
    )  # the headings: nothing else is annotated yet
    _draw_feeds(graph, figure, recorded)
    _draw_books(graph, figure, recorded)
    _draw_moments(figure, window)
    figure.update_layout(
        template="plotly_white",
        height=PAGE_HEIGHT,
        title={
            "text": f"<b>{window.window_id}</b><br><span style='font-size:13px'>{_summary(recorded)}</span>",
            "x": 0.01,
            "y": 0.975,
            "yanchor": "top",
        },
        margin={"t": 125, "l": 70, "r": 30, "b": 40},
        hovermode="x unified",
        legend={"orientation": "h", "y": -0.06, "x": 0, "traceorder": "normal"},
        font={"family": "Inter, Helvetica, Arial, sans-serif", "size": 12},
    )
    figure.update_yaxes(title_text="USD", tickformat=",.2f", row=PRICES, col=1)
    figure.update_yaxes(title_text="USDC a share", range=[-0.02, 1.02], row=BOOKS, col=1)
    figure.update_yaxes(title_text="USDC", row=DEPTHS, col=1)
    page: str = figure.to_html(include_plotlyjs=True, full_html=True, config={"displaylogo": False})
    return page.replace("<head>", f"<head><title>{window.window_id}</title>", 1)


def _draw_feeds(graph: Any, figure: Any, recorded: Recorded) -> None:
    for feed, points in recorded.feeds.items():
        average = feed == "chainlink_twap"
        figure.add_trace(
            graph.Scattergl(
                x=list(points.at),
                y=_numbers(points, "price"),
                name=feed,
                mode="lines",
                line={
                    "color": FEED_COLOURS.get(feed, "#56b4e9"),
                    "width": 2.5 if average else 1.3,
                    "shape": "hv",
                },
            ),
            row=PRICES,
            col=1,
        )
    for span in recorded.divergences:
        figure.add_vrect(
            x0=span.began_at,
            x1=span.ended_at or recorded.window.closes_at,
            fillcolor=FEED_COLOURS.get(span.slow, "#56b4e9"),
            opacity=0.16,
            line_width=0,
            row=PRICES,
            col=1,
        )
    for feed, began_at, ended_at in recorded.gaps:
        figure.add_vrect(
            x0=max(began_at, recorded.window.opens_at),
            x1=ended_at or recorded.window.closes_at,
            fillcolor="#000000",
            opacity=0.12,
            line_width=0,
            annotation_text=f"gap: {feed}",
            row=PRICES,
            col=1,
        )
    if recorded.window.strike is not None:
        figure.add_hline(
            y=float(recorded.window.strike),
            line={"color": "#000000", "width": 1, "dash": "dash"},
            annotation_text=f"strike {recorded.window.strike:,.2f} ({recorded.window.strike_source})",
            annotation_position="bottom left",
            row=PRICES,
            col=1,
        )


def _draw_books(graph: Any, figure: Any, recorded: Recorded) -> None:
    for side, points in recorded.books.items():
        colour = SIDE_COLOURS[side]
        for name, dash in (("bid", None), ("ask", "dot")):
            figure.add_trace(
                graph.Scatter(
                    x=list(points.at),
                    y=_numbers(points, name),
                    name=f"{side} {name}",
                    mode="lines",
                    line={"color": colour, "width": 1.4, "shape": "hv", "dash": dash},
                    connectgaps=False,
                ),
                row=BOOKS,
                col=1,
            )
        for name, sign in (("bid_depth", 1), ("ask_depth", -1)):
            figure.add_trace(
                graph.Scatter(
                    x=list(points.at),
                    y=[None if value is None else sign * value for value in _numbers(points, name)],
                    name=f"{side} {name.replace('_', ' ')}",
                    mode="lines",
                    line={"color": colour, "width": 1.2, "shape": "hv"},
                    showlegend=False,
                ),
                row=DEPTHS,
                col=1,
            )


def _draw_moments(figure: Any, window: WindowFacts) -> None:
    """Mark open and close in every plot, and the resolution at the close."""
    for moment in (window.opens_at, window.closes_at):
        figure.add_vline(x=moment, line={"color": "#444444", "width": 1})
    for moment, words in ((window.opens_at, "opens"), (window.closes_at, f"closes · {_result(window)}")):
        figure.add_annotation(
            x=moment,
            y=0,
            yref="y domain",
            xref="x",
            text=words,
            showarrow=False,
            yanchor="bottom",
            xanchor="left",
            font={"size": 11, "color": "#444444"},
        )


def _result(window: WindowFacts) -> str:
    return f"resolved {window.resolved_direction}" if window.resolved_direction else "not resolved"


def _summary(recorded: Recorded) -> str:
    window = recorded.window
    length_s = (window.closes_at - window.opens_at).total_seconds()
    span = f"{window.opens_at:%Y-%m-%d %H:%M:%S} to {window.closes_at:%H:%M:%S} UTC"
    parts = [
        f"{window.instrument}, {length_s:.0f} s, {span}, settled by {window.rule}",
        f"{_result(window)} by {window.resolution_source or 'nobody'}, ours {window.our_direction or 'not judged'}",
    ]
    if window.consensus is not None and window.confidence is not None:
        parts.append(f"the books were {window.confidence:.0%} sure of {window.consensus}")
    if window.surprise:
        parts.append("<b>a surprise</b>")
    if window.tainted:
        parts.append("<b>tainted by a gap</b>")
    complete = ", ".join(
        f"{feed} {received:,} of {expected:,}" for feed, received, expected in recorded.completeness
    )
    apart = f"{len(recorded.divergences)} divergences, {len(recorded.gaps)} gaps"
    received = complete or "completeness not counted yet"
    return f"{' · '.join(parts)}<br>{received} · {apart}"


def _numbers(points: Points, name: str) -> list[float | None]:
    """Return values as the page's script takes them: it only draws."""
    return [None if value is None else float(value) for value in points.values[name]]
