"""A service in the lab: names itself over HTTP on the port given. Runs in a sibling, with the standard library alone."""

import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"LAB sibling\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """On both families."""

    address_family = socket.AF_INET6


Server(("::", int(sys.argv[1])), Handler).serve_forever()
