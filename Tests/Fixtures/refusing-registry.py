#!/usr/bin/env python3
"""refusing-registry.py STATUS BODY

A registry on a free port of 127.0.0.1, over plain HTTP, that answers every request below a repository with STATUS and BODY. The ping it
answers as ECR does: with a challenge, and with 200 to whoever sends a user. Prints the port.
"""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

status, body = int(sys.argv[1]), sys.argv[2].encode()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        is_known = "Authorization" in self.headers
        code, text = (status, body) if is_known and self.path != "/v2/" else (200 if is_known else 401, b"")
        self.send_response(code)
        if code == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="ecr",service="ecr.amazonaws.com"')
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, *arguments):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
