# SPDX-License-Identifier: Apache-2.0
"""Uploads offline runs with the real `wandb sync`, to a server of its own on this machine, and prints what arrived.

    wandb_sync_peer.py SESSION...

Prints `config NAME VALUE`, `row STEP NAME=VALUE ...` and `artifact NAME` lines, `manifest PATH DIGEST SIZE`,
`uploaded NAME BYTES`, and `exit CODE`. Ends with 77 where wandb is missing. Nothing leaves the machine.
"""

import gzip
import http.server
import json
import os
import re
import subprocess
import sys
import tempfile
import threading

LINES = []
OF_THE_CLOCK = ("_timestamp", "_runtime")


def answer(operation, variables, home):
    project = {"id": "p", "name": "clouds", "entity": {"id": "e", "name": "someone"}}
    if operation == "UpsertBucket":
        for name, value in sorted(json.loads(variables.get("config") or "{}").items()):
            if name != "_wandb":
                LINES.append(f"config {name} {json.dumps(value['value'])}")
        return {"upsertBucket": {"bucket": {"id": "b", "name": variables["name"], "displayName": variables["name"],
                                            "project": project, "historyLineCount": 0}, "inserted": True}}
    if operation == "ServerFeaturesQuery":
        return {"serverInfo": {"features": []}}
    if operation == "CreateArtifact":
        LINES.append("artifact " + variables["input"]["artifactCollectionName"])
        return {"createArtifact": {"artifact": {"id": "a", "state": "PENDING", "artifactSequence": {"latestArtifact": None}}}}
    if operation == "CreateArtifactManifest":
        file = {"id": "f", "name": "manifest", "displayName": "manifest", "uploadUrl": home + "/upload/manifest", "uploadHeaders": []}
        return {"createArtifactManifest": {"artifactManifest": {"id": "m", "file": file}}}
    if operation == "CreateArtifactFiles":
        edges = [{"node": {"id": "f", "name": each["name"], "displayName": each["name"], "storagePath": "x",
                           "uploadUrl": home + "/upload/artifact/" + each["name"], "uploadHeaders": [],
                           "uploadMultipartUrls": None, "artifact": {"id": "a"}}}
                 for each in variables["input"]["artifactFiles"]]
        return {"createArtifactFiles": {"files": {"edges": edges}}}
    if operation == "CommitArtifact":
        return {"commitArtifact": {"artifact": {"id": "a", "digest": "d"}}}
    if operation == "CreateRunFiles":
        files = [{"name": name, "uploadUrl": home + "/upload/" + name} for name in variables["files"]]
        return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}
    LINES.append("not answered: " + operation)
    return {}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def reply(self, content):
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def body(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def do_GET(self):
        self.reply({})

    def do_PUT(self):
        body = self.body()
        LINES.append(f"uploaded {self.path.removeprefix('/upload/')} {len(body)}")
        if self.path == "/upload/manifest":
            for name, entry in json.loads(body)["contents"].items():
                LINES.append(f"manifest {name} {entry['digest']} {entry['size']}")
        self.reply({})

    def do_POST(self):
        content = json.loads(self.body())
        if self.path == "/graphql":
            operation = re.search(r"(?:query|mutation)\s+(\w+)", content["query"]).group(1)
            try:
                self.reply({"data": answer(operation, content.get("variables") or {}, self.server.home)})
            except (KeyError, TypeError) as error:
                LINES.append(f"not understood: {operation} {error!r}")
                self.reply({"errors": [{"message": str(error)}]})
            return
        for text in content.get("files", {}).get("wandb-history.jsonl", {}).get("content", []):
            row = json.loads(text)
            values = [f"{name}={value}" for name, value in sorted(row.items()) if name not in ("_step", *OF_THE_CLOCK)]
            LINES.append(f"row {row['_step']} {' '.join(values)}")
        if "exitcode" in content:
            LINES.append(f"exit {content['exitcode']}")
        self.reply({})


def main():
    try:
        import wandb  # noqa: F401
    except ImportError:
        sys.exit(77)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.home = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "WANDB_BASE_URL": server.home, "WANDB_API_KEY": "0" * 40, "HOME": home,
                       "WANDB_ERROR_REPORTING": "false", "NO_PROXY": "127.0.0.1"}
        finished = subprocess.run([sys.executable, "-m", "wandb", "sync", "--yes", *sys.argv[1:]], env=environment,
                                  cwd=home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=200, check=False)
    print("\n".join(LINES))
    if finished.returncode != 0:
        print(finished.stdout.decode(errors="replace"))
    sys.exit(finished.returncode)


if __name__ == "__main__":
    main()
