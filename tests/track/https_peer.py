# SPDX-License-Identifier: Apache-2.0
"""A server of HTTPS with a certificate of its own making, until its input ends: https_peer.py FOLDER

Writes `certificate.pem` and then `port` into the folder. Ends with 77 where the command openssl is missing.
"""

import http.server
import os
import shutil
import ssl
import subprocess
import sys
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.path.encode())


def main():
    folder = sys.argv[1]
    if shutil.which("openssl") is None:
        with open(os.path.join(folder, "port"), "w", encoding="ascii") as file:
            file.write("0\n")
        return 77
    key, certificate = os.path.join(folder, "key.pem"), os.path.join(folder, "certificate.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate,
                    "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
                   stderr=subprocess.DEVNULL, check=True)
    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    unnamed = os.path.join(folder, "port.new")
    with open(unnamed, "w", encoding="ascii") as file:
        file.write(f"{server.server_port}\n")
    os.rename(unnamed, os.path.join(folder, "port"))
    sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main())
