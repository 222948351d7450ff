"""The whole report as one HTML page: at a glance, findings, layers, what each sandbox reaches, what a run did.

The page holds all it needs and may load nothing: its Content-Security-Policy names its own scripts and styles by their
digests. What comes from the image, the launch or the guest is data in JSON, which the page's scripts show as text and never as
markup. Where no script runs, html_plain.py's text is all that is seen.
"""

import base64
import hashlib
import json
from functools import cache
from importlib import resources

from scanner.model import Json, Report, printable
from scanner.reports import html_findings, html_glance, html_layers, html_plain, html_reach, html_rest, html_run, words
from scanner.reports.plugin import Format, RenderOptions

CYTOSCAPE_STYLE = ".__________cytoscape_container { position: relative; }"
"""The library adds this style sheet itself unless there is one of its name: with ours there, no rule has to let it."""


def render(report: Report, options: RenderOptions) -> str:  # noqa: ARG001  # the page looks the same to everybody
    data = _data(report)
    parts = [name for name in ("glance", "findings", "layers", "run", "reach", "rest") if data[name] is not None]
    theme = _file("page/theme.js")
    scripts = [
        *((_file("vendor/cytoscape.min.js"),) if report.egress is not None else ()),
        "".join(_file(f"page/{name}.js") for name in ("common", *parts, "foot")),
    ]
    styles = [CYTOSCAPE_STYLE, _file("page/page.css")]
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src {' '.join(map(_digest, (theme, *scripts)))}",
            f"style-src {' '.join(map(_digest, styles))}",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    return "\n".join(
        (
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            '<meta name="referrer" content="no-referrer">',
            f"<title>{html_plain.escaped(_title(report))}</title>",
            '<link rel="icon" href="data:,">',
            f'<style id="__________cytoscape_stylesheet">{styles[0]}</style>',
            f"<style>{styles[1]}</style>",
            f"<script>{theme}</script>",
            "</head>",
            "<body>",
            html_plain.body(report),
            "".join(_file(f"page/{name}.html") for name in ("head", *parts, "foot")).rstrip("\n"),
            f'<script type="application/json" id="data">{_embedded(data)}</script>',
            *(f"<script>{one}</script>" for one in scripts),
            "</body>",
            "</html>\n",
        )
    )


def _data(report: Report) -> dict[str, Json]:
    numbers = html_findings.Numbers()
    findings = html_findings.data(report, numbers)
    layers = html_layers.data(report, numbers)
    return {
        "title": _title(report),
        "tool": f"{printable(report.tool.name)} {printable(report.tool.version)}",
        "glance": html_glance.data(report),
        "findings": findings,
        "layers": layers,
        "run": None if report.run is None else html_run.data(report.run),
        "reach": None if report.egress is None else html_reach.data(report.egress),
        "rest": html_rest.data(report),
    }


def _title(report: Report) -> str:
    """What a tab of the browser shows: the target, and how bad it is."""
    unread = "" if report.complete else "incomplete, "
    return f"{words.target(report)}: {unread}{words.tally(report.findings)}"


@cache
def _file(name: str) -> str:
    """A part of the page; none of them may end the element that it stands in."""
    text = resources.files("scanner.reports").joinpath(name).read_text("utf-8")
    if "</script" in text.lower() or "</style" in text.lower():
        raise AssertionError(f"{name} would end its own element")
    return text


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}'"


def _embedded(value: Json) -> str:
    """JSON in ASCII that no HTML parser sees an end tag or a comment in; line separators are escapes."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


PLUGIN = Format(
    "html", "a page to look at: findings, layers, what is reached, what was done", (".html", ".htm"), render
)
