#!/usr/bin/env python3
"""git-http-server.py REPOSITORIES LOG [OPTIONS]

Serves the bare repositories below the folder REPOSITORIES over HTTP on a free port of 127.0.0.1, by git's own
http-backend, and prints the port. Each request is one line of LOG: method, path with query, status, user or "-".

--user USER:PASSWORD  every request must bring them (HTTP Basic), and gets 401 otherwise
--header VALUE        every request must bring it as its Authorization, and gets 401 otherwise
--forbid              gets 403 in place of 401
--old-protocol        only the protocol that names all refs first, in which a server may refuse objects
--certificate FILE    HTTPS, with this certificate and its key in one file
--fail COUNT KIND     the first COUNT requests fail: with a status (503), by a cut (cut), or by silence (silence)

Objects of Git LFS are found where `git lfs push` to a bare repository on the same machine puts them.
"""

import argparse
import base64
import gzip
import http.server
import json
import os
import ssl
import subprocess
import threading

parser = argparse.ArgumentParser()
parser.add_argument("root", type=os.path.abspath)
parser.add_argument("log")
parser.add_argument("--user")
parser.add_argument("--header")
parser.add_argument("--forbid", action="store_true")
parser.add_argument("--old-protocol", action="store_true")
parser.add_argument("--certificate")
parser.add_argument("--fail", nargs=2, default=["0", ""])
OPTIONS = parser.parse_args()
LOCK, FAILURES = threading.Lock(), int(OPTIONS.fail[0])


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
        with open(OPTIONS.log, "a", encoding="utf-8") as log:
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

    def fails(self):
        global FAILURES
        with LOCK:
            if FAILURES == 0:
                return False
            FAILURES -= 1
        if OPTIONS.fail[1] == "silence":
            threading.Event().wait()
        if OPTIONS.fail[1] == "cut":
            self.close_connection = True
        else:
            self.answer(int(OPTIONS.fail[1]), [], b"")
        return True

    def large_files(self, path, body):
        """https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md"""
        repository, _, name = path.partition("/info/lfs/objects/")
        if name != "batch":
            file = f"{OPTIONS.root}{repository}/lfs/objects/{name[:2]}/{name[2:4]}/{name}"
            if not os.path.exists(file):
                return self.answer(404, [], b"")
            with open(file, "rb") as content:
                return self.answer(200, [], content.read())
        here = f"http://127.0.0.1:{self.server.server_port}{repository}/info/lfs/objects/"
        objects = [dict(item, actions={"download": {"href": here + item["oid"]}}) for item in json.loads(body)["objects"]]
        return self.answer(200, [("Content-Type", "application/vnd.git-lfs+json")],
                           json.dumps({"transfer": "basic", "objects": objects}).encode())

    def serve(self):
        body = self.request_body()
        if self.fails():
            return None
        user, header = self.user(), self.headers.get("Authorization")
        if (OPTIONS.user or user) != user or (OPTIONS.header or header) != header:
            return self.answer(403 if OPTIONS.forbid else 401, [("WWW-Authenticate", 'Basic realm="git"')], b"")
        path, _, query = self.path.partition("?")
        if "/info/lfs/objects/" in path:
            return self.large_files(path, body)
        backend = subprocess.run(["git", "http-backend"], input=body, capture_output=True, check=False, env={
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": OPTIONS.root, "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null",
            "REQUEST_METHOD": self.command, "PATH_INFO": path, "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)),
            "GIT_PROTOCOL": "" if OPTIONS.old_protocol else self.headers.get("Git-Protocol", ""), "REMOTE_ADDR": "127.0.0.1",
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
if OPTIONS.certificate:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(OPTIONS.certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
