"""A service in the lab: names itself over HTTP on each port given. Runs in a sibling, with the standard library alone."""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"LAB sibling\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


for port in sys.argv[2:]:
    Thread(target=ThreadingHTTPServer(("", int(port)), Handler).serve_forever, daemon=True).start()
ThreadingHTTPServer(("", int(sys.argv[1])), Handler).serve_forever()
