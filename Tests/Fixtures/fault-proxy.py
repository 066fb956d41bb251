"""A proxy in front of an HTTP server on this machine that breaks what it is told to break.

usage: fault-proxy.py UPSTREAM-PORT LOG

It prints its port. Rules come by `PUT /-/rules`, a JSON list that is added to those there are; the first rule that matches
a request and is not used up is applied, all others pass:

method, path     what is matched: a method, and a regular expression somewhere in path and query
skip, times      how many matching requests pass before, and how many are then broken (1; 0 is all)
do               what happens:
  answer         `status`, `headers` and `body` come without the server being asked; the request's body is read first
  reset          the connection is reset before the request's body is read
  silence        the connection stays open and nothing comes
  cut-request    the connection is reset after `bytes` of the request's body, those of the server as well
  lose-answer    the server's answer is thrown away and the connection reset
  cut-answer     the connection ends after `bytes` of the answer's body: by `end`, which is `reset`, `close`, or `chunk`
                 (the body comes in chunks, without the last one)
  corrupt        the byte at `bytes` of the answer's body has other bits
  rewrite        the answer gets another `status`, and `headers`; those that are null are taken away

The log has one line for each request when its end is known, as JSON: method, path, status (0 for none), the scheme of the
Authorization, Range, and the bytes that came of its body. `Host` goes through, so addresses that the server makes point here.
"""

import fcntl
import http.client
import json
import re
import socket
import struct
import sys
import termios
import threading
import time

UPSTREAM, LOG = int(sys.argv[1]), sys.argv[2]
PIECE = 65536
LOCK, RULES = threading.Lock(), []


class Cut(Exception):
    """The connection to the client has to end here."""


def read_head(stream):
    """The first line and the headers, lower-case; None at the end of the connection."""
    first = stream.readline().decode("latin-1").strip()
    if not first:
        return None
    headers = {}
    while (line := stream.readline().decode("latin-1").strip()):
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return first, headers


def applied(method, path):
    """The rule for a request, counted."""
    with LOCK:
        for rule in RULES:
            if rule.get("method", method) != method or not re.search(rule.get("path", ""), path):
                continue
            if rule["seen"] < rule.get("skip", 0):
                rule["seen"] += 1
                continue
            if rule.get("times", 1) == 0 or rule["used"] < rule.get("times", 1):
                rule["used"] += 1
                return rule
    return {"do": "pass"}


class Connection:
    def __init__(self, client):
        self.client = client
        self.stream = client.makefile("rb")
        self.upstream = None

    def serve(self):
        try:
            while (head := read_head(self.stream)) is not None and self.exchange(*head):
                pass
        except (OSError, ValueError, http.client.HTTPException, Cut):
            pass
        finally:
            for end in (self.upstream, self.stream, self.client):
                if end is not None:
                    end.close()

    def reset(self):
        for end in (self.client, self.upstream and self.upstream.sock):
            if end:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Cut

    def drain(self):
        """Waits until the client's kernel has all that was sent: a reset throws away what is still here."""
        waiting = struct.pack("i", 1)
        while struct.unpack("i", waiting)[0]:
            time.sleep(0.001)
            waiting = fcntl.ioctl(self.client, termios.TIOCOUTQ, waiting)

    def answer(self, status, headers, body=b""):
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.client.sendall(f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode("latin-1") + body)

    def body(self, headers):
        """The request's body in pieces."""
        if headers.get("expect", "").lower() == "100-continue":
            self.client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        rest = int(headers.get("content-length", 0))
        while rest:
            piece = self.stream.read1(min(rest, PIECE))
            if not piece:
                raise Cut
            rest -= len(piece)
            yield piece

    def exchange(self, first, headers):
        """One request and its answer. Whether the connection goes on."""
        method, path, _ = first.split(" ")
        if path == "/-/rules":
            rules = json.loads(b"".join(self.body(headers)))
            with LOCK:
                RULES.extend(dict(rule, seen=0, used=0) for rule in rules)
            self.answer(204, {})
            return True
        rule = applied(method, path)
        entry = {"method": method, "path": path, "status": 0, "bytes": 0, "range": headers.get("range", ""),
                 "authorization": headers.get("authorization", "").partition(" ")[0]}
        try:
            return self.act(rule, entry, method, path, headers)
        finally:
            with LOCK, open(LOG, "a", encoding="utf-8") as log:
                log.write(json.dumps(entry) + "\n")

    def act(self, rule, entry, method, path, headers):
        kind = rule["do"]
        if kind == "reset":
            self.reset()
        if kind == "silence":
            threading.Event().wait()
        pieces = self.body(headers)
        if kind == "answer":
            entry["bytes"] = sum(map(len, pieces))
            entry["status"] = rule["status"]
            body = rule.get("body", "").encode()
            self.answer(rule["status"], {"Content-Length": len(body)} | rule.get("headers", {}),
                        b"" if method == "HEAD" else body)
            return True
        answer = self.forward(rule, entry, method, path, headers, pieces)
        if kind == "lose-answer":
            answer.read()
            self.reset()
        entry["status"] = answer.status
        return self.deliver(rule, entry, method, answer)

    def forward(self, rule, entry, method, path, headers, pieces):
        if self.upstream is None:
            self.upstream = http.client.HTTPConnection("127.0.0.1", UPSTREAM)
        self.upstream.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            if name not in ("expect", "connection"):
                self.upstream.putheader(name, value)
        self.upstream.endheaders()
        for piece in pieces:
            if rule["do"] == "cut-request" and entry["bytes"] + len(piece) > rule["bytes"]:
                self.upstream.send(piece[:rule["bytes"] - entry["bytes"]])
                entry["bytes"] = rule["bytes"]
                self.reset()
            self.upstream.send(piece)
            entry["bytes"] += len(piece)
        return self.upstream.getresponse()

    def deliver(self, rule, entry, method, answer):
        kind, end = rule["do"], rule.get("end")
        headers = {name: value for name, value in answer.getheaders() if name not in ("Connection", "Transfer-Encoding")}
        if kind == "rewrite":
            entry["status"] = rule.get("status", answer.status)
            headers |= rule.get("headers", {})
            headers = {name: value for name, value in headers.items() if value is not None}
        chunks = end == "chunk"
        if chunks:
            headers.pop("Content-Length", None)
            headers["Transfer-Encoding"] = "chunked"
        elif "Content-Length" not in headers and method != "HEAD" and answer.status not in (204, 304):
            headers["Content-Length"] = 0
        self.answer(entry["status"], headers)
        sent = 0
        while piece := answer.read1(PIECE):
            if kind == "corrupt" and sent <= rule["bytes"] < sent + len(piece):
                piece = bytearray(piece)
                piece[rule["bytes"] - sent] ^= 0xFF
            if kind == "cut-answer":
                piece = piece[:rule["bytes"] - sent]
            sent += len(piece)
            self.client.sendall(b"%x\r\n%b\r\n" % (len(piece), piece) if chunks else piece)
            if kind == "cut-answer" and sent >= rule["bytes"]:
                if end == "reset":
                    self.drain()
                    self.reset()
                return False
        # An answer to HEAD is not at its end for http.client until it was read.
        answer.read()
        return True


def main():
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    print(listener.getsockname()[1], flush=True)
    while True:
        client, _ = listener.accept()
        threading.Thread(target=Connection(client).serve, daemon=True).start()


main()
