"""nginx in Cloudflare's place: it ends TLS, speaks to the proxy by TLS again, and says who its client is.

As Cloudflare does, it adds CF-Connecting-IP, appends to X-Forwarded-For, and passes on whatever else a client sends.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from guards.parts import find_server
from guards.ports import free_port
from real_parts.certificates import Pair
from real_parts.program import Program, listens

# From where it connects to the proxy, which no client can.
ADDRESS = "127.0.0.5"


@dataclass(frozen=True)
class Nginx:
    """A running front."""

    port: int
    program: Program


@contextlib.contextmanager
def running_nginx(folder: Path, *, shows: Pair, upstream_port: int, upstream_ca: Path) -> Iterator[Nginx]:
    """Run it in `folder` with this certificate; what is behind must show one that `upstream_ca` has signed."""
    home, port = folder / "nginx", free_port()
    home.mkdir()
    (home / "nginx.conf").write_text(
        f"""
daemon off;
master_process off;
pid {home}/pid;
error_log stderr warn;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {home}/body; proxy_temp_path {home}/proxy; fastcgi_temp_path {home}/fastcgi;
  uwsgi_temp_path {home}/uwsgi; scgi_temp_path {home}/scgi;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {shows.certificate};
    ssl_certificate_key {shows.key};
    underscores_in_headers on;
    location / {{
      proxy_pass https://127.0.0.1:{upstream_port};
      proxy_bind {ADDRESS};
      proxy_http_version 1.1;
      proxy_ssl_server_name on;
      proxy_ssl_name $host;
      proxy_ssl_verify on;
      proxy_ssl_verify_depth 3;
      proxy_ssl_trusted_certificate {upstream_ca};
      proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_set_header CF-Connecting-IP $remote_addr;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto https;
    }}
  }}
}}
"""
    )
    argv = (find_server("nginx") or "nginx", "-p", str(home), "-e", "stderr", "-c", str(home / "nginx.conf"))
    program = Program(argv, home / "log", lambda: listens(port))
    with program.running():
        yield Nginx(port, program)
