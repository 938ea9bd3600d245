# SPDX-License-Identifier: Apache-2.0
"""A provider made of a function, for what the simulator does not speak: pictures, sound, vectors, files."""
import http.server
import threading


class Upstream:
    """Answers each request with what answer(path, body, fields) gives: (status, content type, bytes); keeps them all."""

    def __init__(self, answer):
        self.asked, self.answer = [], answer
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def serve(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                fields = {name.lower(): value for name, value in self.headers.items()}
                outer.asked.append((self.path, body, fields))
                status, kind, data = outer.answer(self.path, body, fields)
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_POST = do_GET = serve

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
