#!/usr/bin/env python3
"""git-http-server.py REPOSITORIES LOG [USER:PASSWORD | Authorization: VALUE]

Serves the bare repositories below the folder REPOSITORIES over HTTP on a free port of 127.0.0.1, by git's own
http-backend, and prints the port. Each request is one line of LOG: method, path with query, status, user or "-".
With USER:PASSWORD every request must bring them (HTTP Basic), with VALUE that as its header.
"""

import base64
import gzip
import http.server
import os
import subprocess
import sys

ROOT, LOG = os.path.abspath(sys.argv[1]), sys.argv[2]
CREDENTIALS = sys.argv[3] if len(sys.argv) > 3 else None


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def user(self):
        scheme, _, value = self.headers.get("Authorization", "").partition(" ")
        try:
            return base64.b64decode(value).decode() if scheme.lower() == "basic" else None
        except ValueError:
            return None

    def answer(self, status, headers, body):
        who = (self.user() or "-").partition(":")[0] or "-"
        with open(LOG, "a", encoding="utf-8") as log:
            log.write(f"{self.command} {self.path} {status} {who}\n")
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def request_body(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def serve(self):
        body = self.request_body()
        header = "Authorization: " + self.headers.get("Authorization", "")
        if CREDENTIALS is not None and CREDENTIALS not in (self.user(), header):
            return self.answer(401, [("WWW-Authenticate", 'Basic realm="git"')], b"")
        path, _, query = self.path.partition("?")
        backend = subprocess.run(["git", "http-backend"], input=body, capture_output=True, check=False, env={
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": ROOT, "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null",
            "REQUEST_METHOD": self.command, "PATH_INFO": path, "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""), "REMOTE_ADDR": "127.0.0.1",
        })
        head, _, reply = backend.stdout.partition(b"\r\n\r\n")
        headers = [tuple(line.split(": ", 1)) for line in head.decode("latin-1").split("\r\n") if ": " in line]
        status = next((int(value.split()[0]) for name, value in headers if name.lower() == "status"), 200)
        if not head:
            return self.answer(500, [], backend.stderr)
        return self.answer(status, [header for header in headers if header[0].lower() != "status"], reply)

    do_GET = do_POST = serve

    def log_message(self, format, *arguments):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
print(server.server_port, flush=True)
server.serve_forever()
