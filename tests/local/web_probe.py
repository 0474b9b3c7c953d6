"""An HTTP server that reports its requests and its identity, streams on command, and counts meanwhile."""

from __future__ import annotations

import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3

ticks = 0


def _count() -> None:
    global ticks
    while True:
        ticks += 1
        time.sleep(0.001)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path == "/pieces":
            self.send_response(200)
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            self._piece(b"first")
            go = Path(os.environ["SPOOL"] + "-go")
            while not go.exists():
                time.sleep(0.01)
            self._piece(b"second")
            self._piece(b"")
            return
        answer = {
            "path": self.path,
            "body": json.loads(body or b"null"),
            "spool": os.environ["SPOOL"],
            "trace": self.headers.get("x-amzn-trace-id"),
            "pid": os.getpid(),
            "ticks": ticks,
        }
        if self.command == "POST":
            answer["who"] = boto3.client("sts").get_caller_identity()["Arn"]
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET

    def _piece(self, piece: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.flush()


if __name__ == "__main__":
    threading.Thread(target=_count, daemon=True).start()
    ThreadingHTTPServer(("localhost", int(os.environ["AWS_LWA_PORT"])), Handler).serve_forever()
