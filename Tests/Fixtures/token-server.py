"""A token server for docker-registry, by GET and by OAuth2's POST, on a free port of 127.0.0.1.

usage: token-server.py KEY CERTIFICATE LOG [--ended COUNT] [--first-scope] [--no-post STATUS]

It prints its port. The user `tester` with the password `s3cret-hunter2`, or the identity token `identity-hunter2`
(by GET as the password of `<token>`), may pull and push; everybody may pull below `public/`. Tokens are signed with KEY, whose CERTIFICATE the registry has to know.

--ended COUNT     the first COUNT tokens ended two minutes ago, and do not say so
--first-scope     only the first scope of a request counts
--no-post STATUS  POST is answered with this status

The log has a line for each token that was asked for: the method, the user (`-` for none), and the scopes.

https://distribution.github.io/distribution/spec/auth/token/
https://distribution.github.io/distribution/spec/auth/jwt/
"""

import argparse
import base64
import http.server
import json
import subprocess
import threading
import time
import urllib.parse

parser = argparse.ArgumentParser()
parser.add_argument("key")
parser.add_argument("certificate")
parser.add_argument("log")
parser.add_argument("--ended", type=int, default=0)
parser.add_argument("--first-scope", action="store_true")
parser.add_argument("--no-post", type=int)
OPTIONS = parser.parse_args()
LOCK = threading.Lock()


def encode(value):
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def certificate():
    with open(OPTIONS.certificate, encoding="ascii") as file:
        return "".join(line.strip() for line in file if "-----" not in line)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, document):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        query = urllib.parse.parse_qs(self.path.partition("?")[2])
        user = None
        scheme, _, value = self.headers.get("Authorization", "").partition(" ")
        if scheme == "Basic":
            if base64.b64decode(value) not in (b"tester:s3cret-hunter2", b"<token>:identity-hunter2"):
                return self.answer(401, {"errors": [{"code": "UNAUTHORIZED", "message": "wrong name or password"}]})
            user = "tester"
        return self.issue("GET", user, query.get("service", [""])[0], query.get("scope", []))

    def do_POST(self):
        form = urllib.parse.parse_qs(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())
        if OPTIONS.no_post:
            return self.answer(OPTIONS.no_post, {})
        if form.get("refresh_token") != ["identity-hunter2"]:
            return self.answer(401, {"error": "invalid_grant"})
        return self.issue("POST", "tester", form["service"][0], form.get("scope", [""])[0].split())

    def issue(self, method, user, service, scopes):
        with LOCK, open(OPTIONS.log, "a", encoding="utf-8") as log:
            log.write(" ".join([method, user or "-"] + scopes) + "\n")
            has_ended = OPTIONS.ended > 0
            OPTIONS.ended -= has_ended
        access = []
        for scope in scopes[:1] if OPTIONS.first_scope else scopes:
            kind, name, actions = scope.split(":")
            allowed = ["pull", "push"] if user else ["pull"] if name.startswith("public/") else []
            access.append({"type": kind, "name": name, "actions": [one for one in actions.split(",") if one in allowed]})
        now = int(time.time())
        claims = {"iss": "imgbuild-tests", "sub": user or "", "aud": service, "exp": now + (-120 if has_ended else 300),
                  "nbf": now - 300, "iat": now, "jti": str(time.time_ns()), "access": access}
        text = encode({"typ": "JWT", "alg": "RS256", "x5c": [certificate()]}) + "." + encode(claims)
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", OPTIONS.key], input=text.encode(),
                                   capture_output=True, check=True).stdout
        return self.answer(200, {"token": f"{text}.{encode(signature)}", "expires_in": 300})

    def log_message(self, format, *arguments):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
print(server.server_port, flush=True)
server.serve_forever()
