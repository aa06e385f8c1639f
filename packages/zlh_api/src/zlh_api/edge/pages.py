"""How a page of ours looks at a container's host: no script, nothing from elsewhere, and nothing kept."""

from __future__ import annotations

from html import escape

from aiohttp import web

_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width"><style>
:root{{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}}
body{{max-width:34rem;margin:18vh auto;padding:0 1.5rem}}h1{{font-size:1.4rem}}code{{font-size:.95em}}
p{{opacity:.85}}</style></head><body><h1>{title}</h1>{body}</body></html>"""


# Neither a code nor where somebody was going is told to anybody else.
QUIET = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


def render_nothing_here() -> web.Response:
    """Return the page for what there is not, which is that for what somebody may not see."""
    response = render_page(
        "There is no such page",
        "<p>Either nothing is published at this address, or you may not open it. "
        "Ask whoever gave you the address to publish it for your whole customer.</p>",
        status=404,
    )
    response.headers.update(QUIET)
    return response


def render_page(title: str, body: str, *, status: int = 200) -> web.Response:
    """Return a page; `body` is HTML of ours, in which whatever is not ours is escaped."""
    return web.Response(
        status=status,
        text=_PAGE.format(title=escape(title), body=body),
        content_type="text/html",
        headers={
            "Cache-Control": "no-store",
            "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
            "X-Content-Type-Options": "nosniff",
        },
    )
