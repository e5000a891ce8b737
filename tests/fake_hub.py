"""A hub on 127.0.0.1 with the few addresses that huggingface_hub asks when models are published and downloaded."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

TOKEN = "hf_of_tests"


@dataclass
class Repository:
    """Commits, each all files of it by their names, and the branches and tags that name them."""

    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def files(self, revision: str) -> dict[str, bytes]:
        return self.commits[self.refs.get(revision, revision)]

    def commit(self, revision: str, files: dict[str, bytes], message: str = "") -> str:
        known = json.dumps({name: hashlib.sha1(content).hexdigest() for name, content in sorted(files.items())})
        sha = hashlib.sha1(f"{known}{len(self.commits)}".encode()).hexdigest()
        self.commits[sha], self.refs[revision] = files, sha
        self.messages.append(message)
        return sha


@dataclass
class Hub:
    """A running hub: its repositories, and every request that it was asked, such as `GET /api/models/a/b`."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)  # by sha256
    asked: list[str] = field(default_factory=list)
    address: str = ""
    broken: bool = False  # answers every question with 503

    def add(self, name: str, files: dict[str, bytes], **options: bool) -> Repository:
        self.repositories[name] = Repository(**options)
        self.repositories[name].commit("main", files)
        return self.repositories[name]

    def add_folder(self, name: str, folder: Path, **options: bool) -> Repository:
        return self.add(name, {path.name: path.read_bytes() for path in folder.iterdir()}, **options)


@contextmanager
def running() -> Iterator[Hub]:
    """A hub while the block runs."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def use(hub_address: str, cache: Path, monkeypatch: pytest.MonkeyPatch, token: str | None = TOKEN) -> None:
    """Let huggingface_hub in this process ask a hub at this address, with an empty cache.

    Its files travel as on the hub: small ones in the commit, weights by themselves (Git LFS).
    """
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", hub_address)
    template = hub_address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache / "token"))
    for name in ("HUGGING_FACE_HUB_TOKEN", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    if token:
        monkeypatch.setenv("HF_TOKEN", token)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self, content: Any, status: int = 200, error: str = "", **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if error:
            self.send_header("X-Error-Code", error)
        self.send_header("Content-Length", headers.get("length", str(len(body))))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status: int, error: str) -> None:
        self.answer({"error": error}, status, error)

    @property
    def has_token(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def readable(self, name: str) -> Repository | None:
        """The repository, or None after a refusal as the hub's."""
        found = self.hub.repositories.get(name)
        if found is None or (found.private and not self.has_token):
            self.refuse(404 if self.has_token else 401, "RepoNotFound")
        elif found.gated:
            self.refuse(403, "GatedRepo")
        else:
            return found
        return None

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"{self.command} {path}")
        if self.hub.broken:
            self.answer({}, 503)
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/(.+))?", path):
            name, kind, revision = match[1], match[2], match[3] or "main"
            if (found := self.readable(name)) is None:
                return
            if revision not in {**found.refs, **found.commits}:
                self.refuse(404, "RevisionNotFound")
            elif kind == "tree":
                self.answer([_entry(path, content) for path, content in found.files(revision).items()])
            else:
                sha = found.refs.get(revision, revision)
                siblings = [{"rfilename": path} for path in found.files(revision)]
                self.answer({"id": name, "sha": sha, "private": found.private, "siblings": siblings})
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            if (found := self.readable(match[1])) is None:
                return
            if match[2] not in {**found.refs, **found.commits}:
                self.refuse(404, "RevisionNotFound")
            elif (content := found.files(match[2]).get(match[3])) is None:
                self.answer(b"", 404, "EntryNotFound", X_Repo_Commit=found.refs.get(match[2], match[2]))
            else:
                digest = hashlib.sha256(content).hexdigest()
                commit = found.refs.get(match[2], match[2])
                self.answer(content, ETag=f'"{digest}"', X_Repo_Commit=commit)
        else:
            self.refuse(404, "EntryNotFound")

    do_HEAD = do_GET

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.hub.uploads[hashlib.sha256(body).hexdigest()] = body
        self.answer({})

    def do_POST(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"POST {path}")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if path == "/api/validate-yaml":
            self.answer({"errors": [], "warnings": []})
            return
        if not self.has_token:
            self.answer({"error": "no right"}, 401)
            return
        if path == "/api/repos/create":
            self._create(json.loads(body))
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/(preupload|commit|branch|tag)/(.+)", path):
            if (found := self.readable(match[1])) is None:
                return
            getattr(self, f"_{match[2]}")(found, match[3], body)
        elif match := re.fullmatch(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            upload = {"upload": {"href": f"{self.hub.address}/lfs"}}
            self.answer({"objects": [o | {"actions": upload} for o in json.loads(body)["objects"]]})
        else:
            self.refuse(404, "EntryNotFound")

    def _create(self, asked: dict[str, Any]) -> None:
        name = f"{asked['organization']}/{asked['name']}"
        if asked["organization"] == "others":
            self.answer({"error": "You have no right"}, 403)
            return
        status = 409 if name in self.hub.repositories else 200
        if status == 200:
            self.hub.add(name, {}, private=asked.get("visibility") == "private" or asked.get("private") is True)
        self.answer({"url": f"{self.hub.address}/{name}", "name": name, "id": name}, status)

    def _preupload(self, found: Repository, revision: str, body: bytes) -> None:
        modes = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith((".safetensors", ".png")) else "regular",
                "shouldIgnore": False,
            }
            for file in json.loads(body)["files"]
        ]
        self.answer({"files": modes})

    def _commit(self, found: Repository, revision: str, body: bytes) -> None:
        files, message = dict(found.files(revision)), ""
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "header":
                message = value["summary"]
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.uploads[value["oid"]]
            else:
                del files[value["path"]]
        sha = found.commit(revision, files, message)
        name = next(name for name, repository in self.hub.repositories.items() if repository is found)
        self.answer({"commitUrl": f"{self.hub.address}/{name}/commit/{sha}", "commitOid": sha})

    def _branch(self, found: Repository, name: str, body: bytes) -> None:
        status = 409 if name in found.refs else 200
        found.refs.setdefault(name, found.refs["main"])
        self.answer({}, status)

    def _tag(self, found: Repository, revision: str, body: bytes) -> None:
        tag = json.loads(body)["tag"]
        if tag in found.refs:
            self.answer({"error": "exists"}, 409)
            return
        found.refs[tag] = found.refs.get(revision, revision)
        self.answer({})


def _entry(path: str, content: bytes) -> dict[str, Any]:
    return {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
