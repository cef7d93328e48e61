"""A hub on the loopback interface, which speaks as much of huggingface.co's protocol as downloads need."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


@dataclass
class Hub:
    """What it has, and what it was asked.

    Attributes:
        endpoint: its address.
        repos: by `org/name`, by revision, the files by name.
        refused: the status and error code of repositories that not everybody gets.
        token: the one that gets them nevertheless.
        stalls: files of which half is sent, and the rest never, until `resume` is set.
        stalled: set when that is so.
        commits: of the files of a revision, by their identity.
        asked: (method, path) of each request.
        agents: the programs that asked, as they call themselves.
    """

    endpoint: str = ""
    repos: dict[str, dict[str, dict[str, bytes]]] = field(default_factory=dict)
    refused: dict[str, tuple[int, str]] = field(default_factory=dict)
    token: str = "secret"
    stalls: set[str] = field(default_factory=set)
    resume: threading.Event = field(default_factory=threading.Event)
    stalled: threading.Event = field(default_factory=threading.Event)
    commits: dict[int, str] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    agents: set[str] = field(default_factory=set)

    def add(self, repo: str, files: dict[str, bytes], revision: str = "main") -> str:
        """Have a repository, or another revision of it; gives the commit."""
        commit = hashlib.sha1(
            repr(sorted((name, hash(data)) for name, data in files.items())).encode()
        ).hexdigest()
        self.repos.setdefault(repo, {})
        self.repos[repo][revision] = self.repos[repo][commit] = files
        self.commits[id(files)] = commit
        return commit

    def downloaded(self) -> list[str]:
        """The files that were asked for, each once, in their order."""
        paths = [
            path.split("/resolve/")[1].partition("/")[2]
            for how, path in self.asked
            if how == "GET" and "/resolve/" in path
        ]
        return list(dict.fromkeys(paths))


def files_of(folder: Path) -> dict[str, bytes]:
    """All files of a folder by name."""
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


@contextmanager
def serving() -> Iterator[Hub]:
    """Serve until the block ends."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        hub.resume.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *arguments: object) -> None:
        pass

    def _answer(self) -> None:
        path = urlsplit(self.path).path.strip("/")
        self.hub.asked.append((self.command, unquote(path)))
        self.hub.agents.add(self.headers["User-Agent"])
        parts = [unquote(part) for part in path.removeprefix("api/models/").split("/")]
        repo, kind, revision, name = "/".join(parts[:2]), *(parts[2:4] or ["", ""]), "/".join(parts[4:])
        if repo in self.hub.refused and self.headers["Authorization"] != f"Bearer {self.hub.token}":
            status, code = self.hub.refused[repo]
            self._refuse(status, code)
        elif repo not in self.hub.repos:
            self._refuse(404, "RepoNotFound")
        elif revision not in self.hub.repos[repo]:
            self._refuse(404, "RevisionNotFound")
        elif kind == "revision":
            self._tell(repo, self.hub.repos[repo][revision])
        elif name not in self.hub.repos[repo][revision]:
            self._refuse(404, "EntryNotFound")
        else:
            self._send(self.hub.repos[repo][revision], name)

    def _refuse(self, status: int, code: str) -> None:
        self._head(status, 0, {"X-Error-Code": code, "X-Error-Message": code})

    def _tell(self, repo: str, files: dict[str, bytes]) -> None:
        siblings = [
            {"rfilename": name, "size": len(data), "blobId": "0" * 40} for name, data in files.items()
        ]
        body = json.dumps(
            {"id": repo, "modelId": repo, "sha": self.hub.commits[id(files)], "siblings": siblings}
        ).encode()
        self._head(200, len(body), {"Content-Type": "application/json"})
        self.wfile.write(body)

    def _send(self, files: dict[str, bytes], name: str) -> None:
        data = files[name]
        etag = f'"{hashlib.sha256(data).hexdigest()}"'
        headers = {"ETag": etag, "X-Repo-Commit": self.hub.commits[id(files)], "Accept-Ranges": "bytes"}
        if name.endswith(".safetensors"):
            headers |= {"X-Linked-ETag": etag, "X-Linked-Size": str(len(data))}
        start = int((self.headers["Range"] or "bytes=0-").removeprefix("bytes=").split("-")[0])
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self._head(206 if start else 200, len(data) - start, headers)
        if self.command == "HEAD":
            return
        body = data[start:]
        if name in self.hub.stalls and not self.hub.resume.is_set():
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self.hub.stalled.set()
            self.hub.resume.wait(60)
            self.close_connection = True
            return
        self.wfile.write(body)

    def _head(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(length), "Connection": "close", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
