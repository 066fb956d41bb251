#!/usr/bin/env python3
"""file-http-server.py FOLDER LOG [HEADER]

Serves the files below FOLDER over HTTP on a free port of 127.0.0.1, with Last-Modified, and prints the port. Each request
is one line of LOG: method, path with query, status, and the user of HTTP Basic, the name of another scheme, or "-". Four
folders are special:

/undated/...   as /..., without Last-Modified
/private/...   as /..., for the user "tester" with the password "secret" only
/guarded/...   as /..., for requests whose Authorization is HEADER only
/moved/URL     a redirect to URL, which is percent-encoded
"""

import base64
import functools
import http.server
import sys
import urllib.parse

ROOT, LOG = sys.argv[1], sys.argv[2]
HEADER = sys.argv[3] if len(sys.argv) > 3 else None


class Handler(http.server.SimpleHTTPRequestHandler):
    def user(self):
        scheme, _, value = self.headers.get("Authorization", "").partition(" ")
        return base64.b64decode(value).decode() if scheme.lower() == "basic" else scheme.lower() or "-"

    def do_GET(self):
        self.answer(super().do_GET)

    def do_HEAD(self):
        self.answer(super().do_HEAD)

    def answer(self, serve):
        self.asked, self.undated = self.path, False
        _, kind, rest = (self.path + "/").split("/", 2)
        rest = rest[:-1]
        if kind == "moved":
            self.send_response(302)
            self.send_header("Location", urllib.parse.unquote(rest))
            self.send_header("Content-Length", "0")
            return self.end_headers()
        if kind == "private" and self.user() != "tester:secret":
            return self.send_error(401)
        if kind == "guarded" and (HEADER is None or self.headers.get("Authorization") != HEADER):
            return self.send_error(401)
        if kind in ("private", "undated", "guarded"):
            self.undated, self.path = kind == "undated", "/" + rest
        return serve()

    def send_header(self, name, value):
        if not (name == "Last-Modified" and self.undated):
            super().send_header(name, value)

    def log_request(self, code="-", size="-"):
        with open(LOG, "a", encoding="utf-8") as log:
            log.write(f"{self.command} {self.asked} {int(code)} {self.user().partition(':')[0]}\n")

    def log_message(self, format, *arguments):
        pass


handler = functools.partial(Handler, directory=ROOT)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
server.daemon_threads = True
print(server.server_port, flush=True)
server.serve_forever()
