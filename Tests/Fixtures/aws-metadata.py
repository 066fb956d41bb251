#!/usr/bin/env python3
"""aws-metadata.py ID SECRET TOKEN

What surrounds a program in AWS, on a free port of 127.0.0.1, which is printed: credentials for those who ask as AWS demands.

/latest/...          EC2's metadata service, version 2 of its protocol alone: PUT /latest/api/token with a life first
/v2/credentials/x    ECS: no token
/v1/credentials      EKS Pod Identity: Authorization has to be the token "pod-token-1" or "pod-token-2"
"""

import http.server
import json
import sys
import time

ID, SECRET, TOKEN = sys.argv[1:4]
SESSION = "imds-session-hunter2"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, text=""):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def credentials(self, **more):
        end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 6 * 3600))
        answer = {"AccessKeyId": ID, "SecretAccessKey": SECRET, "Token": TOKEN, "Expiration": end}
        self.answer(200, json.dumps(answer | more))

    def do_PUT(self):
        life = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
        if self.path != "/latest/api/token":
            return self.answer(404)
        # The real service refuses what came by a proxy.
        if not life.isdigit() or not 1 <= int(life) <= 21600 or "X-Forwarded-For" in self.headers:
            return self.answer(400)
        self.answer(200, SESSION)

    def do_GET(self):
        roles = "/latest/meta-data/iam/security-credentials/"
        if self.path.startswith("/latest/"):
            if self.headers.get("X-aws-ec2-metadata-token") != SESSION:
                return self.answer(401)
            if self.path == roles:
                return self.answer(200, "builder-node")
            if self.path == roles + "builder-node":
                return self.credentials(Code="Success", Type="AWS-HMAC")
            return self.answer(404)
        if self.path == "/v2/credentials/x":
            return self.credentials(RoleArn="arn:aws:iam::123456789012:role/task")
        if self.path == "/v1/credentials":
            if self.headers.get("Authorization") not in ("pod-token-1", "pod-token-2"):
                return self.answer(401, json.dumps({"code": "AccessDenied", "message": "unknown token"}))
            return self.credentials(AccountId="123456789012")
        self.answer(404)

    def log_message(self, format, *arguments):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
print(server.server_port, flush=True)
server.serve_forever()
