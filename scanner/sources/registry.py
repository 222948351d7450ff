"""Images straight from a registry, without an engine: OCI distribution-spec v1.1, with Docker's token authentication.

Layers are streamed; a connection that drops is taken up where it broke off. Credentials go to the registry and to the
token server it names, never to where a redirect leads.
"""

import base64
import ipaddress
import json
import re
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from scanner.errors import LayerError, LimitError, SourceError, TargetError
from scanner.model import Descriptor, Layer, Target, printable
from scanner.oci import manifest
from scanner.oci.blob import TarBlob
from scanner.oci.manifest import Child
from scanner.oci.reference import DEFAULT_REGISTRY, DIGEST, Reference, parse
from scanner.oci.store import Budget, candidates, choose
from scanner.sources.credentials import Credentials, credentials
from scanner.sources.failures import reason
from scanner.sources.plugin import OpenImage, Source, SourceOptions

if TYPE_CHECKING:
    import requests

CONNECT_SECONDS, READ_SECONDS = 10, 60
ATTEMPTS = 4
"""Of one request that meets a busy server or a broken connection."""
FIRST_WAIT, LONGEST_WAIT = 0.5, 20.0
REDIRECTS = 5
RESUMES = 50
"""Of one layer, however far each of them leads."""
PATIENCE, SLOWEST = 120, 1024
"""After so many seconds of waiting, a layer that comes at fewer bytes a second is given up."""
CHUNK = 1 << 20
TOKEN_BYTES = 32 << 10
_BUSY = (408, 429, 500, 502, 503, 504)
_REDIRECT = (301, 302, 303, 307, 308)
_ACCEPT = ", ".join((*manifest.INDEXES, *manifest.MANIFESTS, *(f"{t};q=0.1" for t in manifest.SCHEMA1)))
_PARAMETER = re.compile(r'(\w+)\s*=\s*"([^"]*)"')


def open_registry(name: str, options: SourceOptions) -> OpenImage:
    """`[HOST[:PORT]/]NAME[:TAG][@DIGEST]`; Docker Hub where no host is named."""
    if "://" in name:
        raise TargetError(
            f"{printable(name)!r}: write a registry's image without a URL's scheme: registry:HOST/NAME:TAG"
        )
    reference = parse(name)
    with ExitStack() as stack:
        registry = _Registry(reference, options, stack)
        root = registry.root()
        what = printable(reference.familiar)
        _, loaded = choose(candidates(registry, [root], what), what, None, options.platform)
        return OpenImage(
            Target("registry", name, reference.repository, loaded.manifest),
            loaded.image,
            loaded.blobs,
            loaded.notifications,
            stack.pop_all(),
            loaded.provenance,
        )


@dataclass(frozen=True, slots=True)
class _Answer:
    """A response whose body is still to be read."""

    response: "requests.Response"

    @property
    def status(self) -> int:
        return self.response.status_code

    def header(self, name: str) -> str:
        return self.response.headers.get(name, "")

    def read(self, size: int) -> bytes:
        """What has arrived of the body, at most `size` bytes; b"" at its end."""
        return self.response.raw.read1(size, decode_content=False) or b""

    def close(self) -> None:
        self.response.close()


class _Registry:
    """One repository of a registry: a Store. Its readers may be used from several threads."""

    def __init__(self, reference: Reference, options: SourceOptions, resources: ExitStack) -> None:
        import requests

        self._reference = reference
        self._budget = Budget(options.limits)
        self._known: dict[str, bytes] = {}
        self._host = "registry-1.docker.io" if reference.registry == DEFAULT_REGISTRY else reference.registry
        self._base = f"https://{self._host}"
        loopback = is_loopback(self._host)
        self._session = requests.Session()
        resources.callback(self._session.close)
        self._session.headers["User-Agent"] = "sandscan"
        self._session.headers["Accept-Encoding"] = "identity"
        self._session.auth = _leave_alone  # or requests would look for a password in ~/.netrc
        # no proxy leads to this machine
        self._proxies = {"no_proxy": urlsplit(self._base).hostname or ""} if loopback else None
        self._lock = threading.Lock()
        self._authorization = ""
        self._credentials: Credentials | None = None
        if loopback or options.insecure_registry:
            self._base = self._reachable()

    def root(self) -> Child:
        """The manifest or index that the reference names."""
        asked = self._reference.digest or self._reference.tag or "latest"
        data, media_type, stated = self._manifest(asked)
        digest = self._reference.digest or (stated if DIGEST.fullmatch(stated) else manifest.digest_of(data))
        what = f"{printable(self._reference.familiar)}, as {self._host} sent it,"
        self._known[digest] = manifest.verify(data, digest, what)
        return Child(Descriptor(media_type, digest, len(data)), None, (self._reference.familiar,))

    def has(self, digest: str) -> bool:  # noqa: ARG002 - a Store
        """Registries take no index without its manifests."""
        return True

    def document(self, descriptor: Descriptor, what: str) -> bytes:
        assert descriptor.digest is not None, "a descriptor of the image's own always has one"
        if descriptor.digest in self._known:
            return self._known[descriptor.digest]
        if descriptor.media_type in (*manifest.INDEXES, *manifest.MANIFESTS):
            data, _, _ = self._manifest(descriptor.digest)
        else:
            data = self._body(self._get(f"blobs/{descriptor.digest}"), what)
        return manifest.verify(data, descriptor.digest, what)

    def blob(self, layer: Layer, descriptor: Descriptor) -> TarBlob:
        assert descriptor.digest is not None, "a descriptor of the image's own always has one"
        what = f"{printable(self._reference.familiar)}: layer {layer.index} ({descriptor.digest})"
        if "foreign" in descriptor.media_type or "nondistributable" in descriptor.media_type:
            try:
                self._get(f"blobs/{descriptor.digest}", method="HEAD").close()
            except SourceError as e:
                raise SourceError(
                    f"{what} is a foreign layer: the registry has only addresses of it, and those are not followed. "
                    "Pull the image with an engine that may, and scan it there."
                ) from e
        return TarBlob(layer, descriptor, partial(_BlobReader, self, descriptor, what))

    def stream(self, digest: str, begin: int) -> _Answer:
        """A blob from a byte on. Where the registry ignores the range, what comes before is read and dropped."""
        answer = self._get(f"blobs/{digest}", {"Range": f"bytes={begin}-"} if begin else {})
        if begin and answer.status == 206:
            if not answer.header("Content-Range").startswith(f"bytes {begin}-"):
                answer.close()
                raise SourceError(f"{self._host} sent another part of {digest} than was asked for")
        elif begin:
            left = begin
            while left:
                if not (data := answer.read(min(CHUNK, left))):
                    answer.close()
                    raise ConnectionError("it broke off again")
                left -= len(data)
        return answer

    def _reachable(self) -> str:
        """https if the registry speaks it, else plain http. Only for registries where plain http is allowed."""
        import requests

        try:
            with self._session.get(
                f"https://{self._host}/v2/",
                timeout=CONNECT_SECONDS,
                stream=True,
                allow_redirects=False,
                proxies=self._proxies,
            ):
                return f"https://{self._host}"
        except requests.exceptions.SSLError as e:
            if "CERTIFICATE_VERIFY_FAILED" in str(e):
                raise SourceError(
                    f"{self._host} has a certificate that no known authority signed; "
                    "name its authority's file in REQUESTS_CA_BUNDLE"
                ) from e
        except requests.exceptions.RequestException:
            pass
        return f"http://{self._host}"

    def _manifest(self, reference: str) -> tuple[bytes, str, str]:
        """A manifest or index, its media type, and the digest that the registry says it has."""
        answer = self._get(f"manifests/{reference}", {"Accept": _ACCEPT})
        data = self._body(answer, f"the manifest of {printable(self._reference.familiar)}")
        return data, answer.header("Content-Type").partition(";")[0].strip(), answer.header("Docker-Content-Digest")

    def _body(self, answer: _Answer, what: str) -> bytes:
        """A whole small body."""
        import requests
        import urllib3

        data, end = bytearray(), time.monotonic() + PATIENCE
        try:
            while chunk := answer.read(CHUNK):
                data += chunk
                if len(data) > self._budget.limit:
                    break
                if time.monotonic() > end:
                    raise SourceError(f"{self._host} takes more than {PATIENCE} seconds to send {what}")
        except (urllib3.exceptions.HTTPError, requests.RequestException, OSError) as e:
            raise SourceError(f"{self._host} broke off while it sent {what}: {reason(e)}. Try again.") from e
        finally:
            answer.close()
        self._budget.take(len(data), what)
        return bytes(data)

    def _get(self, path: str, headers: Mapping[str, str] | None = None, method: str = "GET") -> _Answer:
        """The answer to a request below the repository, after authentication and redirects, with status 200 or 206.

        Raises TargetError where there is no such image, SourceError for any other refusal.
        """
        url = f"{self._base}/v2/{self._reference.path}/{path}"
        for _ in range(3):  # without a token, with one, and with a new one
            used = self._authorization
            answer = self._follow(method, url, headers or {})
            if answer.status != 401:
                break
            challenge = answer.header("WWW-Authenticate")
            answer.close()
            if not self._authorise(challenge, used):
                raise self._refused(401, "")
        if answer.status in (200, 206):
            return answer
        said = _said(answer)
        answer.close()
        if answer.status == 404 and path.startswith("blobs/"):
            raise SourceError(f"{self._host} has no {path}: the image there is incomplete, push it again")
        if answer.status == 404:
            raise TargetError(
                f"{self._host} has no {printable(self._reference.familiar)}{said}; check the name and the tag, "
                "and that you may see it (docker login)"
            )
        raise self._refused(answer.status, said)

    def _refused(self, status: int, said: str) -> SourceError:
        name = printable(self._reference.familiar)
        if status not in (401, 403):
            return SourceError(f"{self._host} answered {status} when it was asked for {name}{said}")
        who = self._credentials or Credentials()
        if who.anonymous:
            why = f" ({who.problem})" if who.problem else ""
            host = "" if self._reference.registry == DEFAULT_REGISTRY else f" {self._reference.registry}"
            return SourceError(
                f"{self._host} does not give {name} to strangers{said}, or has no such image; "
                f"log in with `docker login{host}`{why}"
            )
        user = printable(who.username) or "the stored token"
        return SourceError(
            f"{self._host} does not give {name} to {user}{said}; the login may have expired, or lack the right"
        )

    def _follow(self, method: str, url: str, headers: Mapping[str, str]) -> _Answer:
        """One request through its redirects; only the registry itself is told who we are."""
        for _ in range(REDIRECTS + 1):
            own = dict(headers)
            if self._authorization and _origin(url) == _origin(self._base):
                own["Authorization"] = self._authorization
            answer = self._send(method, url, own)
            location = answer.header("Location")
            if answer.status not in _REDIRECT or not location:
                return answer
            answer.close()
            url = urljoin(url, location)
            if not self._may_ask(url):
                raise SourceError(
                    f"{self._host} redirects to {printable(url.partition('?')[0])}, which is not followed"
                )
        raise SourceError(f"{self._host} redirects more than {REDIRECTS} times")

    def _may_ask(self, url: str) -> bool:
        """https anywhere; plain http only for a registry that is itself asked so."""
        scheme = urlsplit(url).scheme
        return scheme == "https" or (scheme == "http" and self._base.startswith("http:"))

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], data: Mapping[str, str] | None = None
    ) -> _Answer:
        """One request, tried again while the server is busy or the connection breaks. Raises SourceError."""
        import requests
        import urllib3

        wait = FIRST_WAIT
        for attempt in range(ATTEMPTS):
            last = attempt == ATTEMPTS - 1
            try:
                response = self._session.request(
                    method,
                    url,
                    headers=dict(headers),
                    data=data,
                    timeout=(CONNECT_SECONDS, READ_SECONDS),
                    stream=True,
                    allow_redirects=False,
                    proxies=self._proxies,
                )
                self._session.cookies.clear()
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as e:
                if last or not isinstance(e, requests.ConnectionError | requests.Timeout) or _is_final(e):
                    raise SourceError(f"cannot reach {_origin(url)}: {reason(e)}") from e
            else:
                if response.status_code not in _BUSY or last:
                    return _Answer(response)
                asked = response.headers.get("Retry-After", "")
                wait = max(wait, float(asked)) if asked.isascii() and asked.isdigit() and len(asked) < 6 else wait
                response.close()
            time.sleep(min(wait, LONGEST_WAIT))
            wait *= 2
        raise AssertionError("the last attempt returns or raises")

    def _authorise(self, challenge: str, used: str) -> bool:
        """Get what a 401 asks for; False if there is nothing better than what was refused."""
        with self._lock:
            if self._authorization != used:
                return True  # another thread was faster
            if self._credentials is None:
                self._credentials = credentials(self._reference.registry)
            who = self._credentials
            kind, _, rest = challenge[:8192].partition(" ")
            if kind.lower() == "bearer":
                fresh = f"Bearer {self._token(dict(_PARAMETER.findall(rest)), who)}"
            elif kind.lower() == "basic" and who.username:
                fresh = _basic(who)
            else:
                return False
            if fresh == used:
                return False
            self._authorization = fresh
            return True

    def _token(self, challenge: Mapping[str, str], who: Credentials) -> str:
        """A bearer token for pulling (Docker Registry v2 authentication via a central service; OAuth2 for identity tokens)."""
        realm = challenge.get("realm", "")
        if not self._may_ask(realm):
            raise SourceError(f"{self._host} sends us for a token to {printable(realm)!r}, which is not asked")
        question = {"service": challenge.get("service", ""), "scope": f"repository:{self._reference.path}:pull"}
        if who.identity_token:
            form = {
                **question,
                "grant_type": "refresh_token",
                "client_id": "sandscan",
                "refresh_token": who.identity_token,
            }
            answer = self._send("POST", realm, {}, form)
        else:
            from requests.models import PreparedRequest

            prepared = PreparedRequest()
            prepared.prepare_url(realm, {k: v for k, v in question.items() if v})
            answer = self._send("GET", prepared.url or realm, {"Authorization": _basic(who)} if who.username else {})
        if answer.status != 200:
            said = _said(answer)
            answer.close()
            raise self._refused(401 if answer.status in (400, 401, 403) else answer.status, said)
        fields = manifest.document_of(self._body(answer, "a token"), f"the token of {printable(realm)}")
        token = fields.text("token") or fields.text("access_token")
        if not token or len(token) > TOKEN_BYTES or not token.isascii() or not token.isprintable():
            raise SourceError(f"{printable(realm)} gave no usable token")
        return token


class _BlobReader:
    """A layer's stored bytes as they arrive; a dropped connection is taken up again at the same byte."""

    def __init__(self, registry: _Registry, descriptor: Descriptor, what: str) -> None:
        self._registry = registry
        self._digest = descriptor.digest or ""
        self._size = descriptor.size
        self._what = what
        self._answer: _Answer | None = None
        self._at = 0
        self._waited = 0.0
        self._drops, self._in_a_row = 0, 0
        self._end = False

    def read(self, size: int = -1, /) -> bytes:
        import requests
        import urllib3

        room = CHUNK if size < 0 else min(size, CHUNK)
        if self._size >= 0:
            room = min(room, self._size - self._at)
        while room and not self._end:
            begin = time.monotonic()
            try:
                if self._answer is None:
                    self._answer = self._registry.stream(self._digest, self._at)
                data = self._answer.read(room)
                if not data and self._at < self._size:
                    raise ConnectionError(f"{self._size - self._at} bytes are missing")
            except (urllib3.exceptions.HTTPError, requests.RequestException, OSError) as e:
                self._dropped(e)
                continue
            except (SourceError, TargetError, LimitError) as e:
                raise LayerError(f"{self._what} cannot be read: {e}") from e
            finally:
                self._waited += time.monotonic() - begin
            self._at += len(data)
            self._in_a_row = 0
            self._end = not data
            if self._waited > PATIENCE and self._at < self._waited * SLOWEST:
                raise LayerError(f"{self._what} comes too slowly: {self._at} bytes in {self._waited:.0f} seconds")
            return data
        return b""

    def close(self) -> None:
        if self._answer is not None:
            self._answer.close()
            self._answer = None

    def _dropped(self, error: Exception) -> None:
        self.close()
        self._drops += 1
        self._in_a_row += 1
        if self._in_a_row >= ATTEMPTS or self._drops > RESUMES:
            raise LayerError(
                f"{self._what} broke off after {self._at} of {self._size} bytes, {self._drops} times: {reason(error)}. Try again."
            ) from error
        time.sleep(FIRST_WAIT * 2 ** (self._in_a_row - 1))


def is_loopback(host: str) -> bool:
    """Whether a registry's host[:port] is this machine: `localhost`, 127.0.0.0/8 or ::1."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _leave_alone(request: Any) -> Any:
    return request


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}"


def _basic(who: Credentials) -> str:
    return "Basic " + base64.b64encode(f"{who.username}:{who.password}".encode()).decode()


def _is_final(error: Exception) -> bool:
    """Nobody listens there, or there is no such host: trying again soon changes nothing."""
    import urllib3

    inner = getattr(error.args[0] if error.args else None, "reason", None)
    return isinstance(inner, urllib3.exceptions.NewConnectionError | urllib3.exceptions.SSLError)


def _said(answer: _Answer) -> str:
    """The registry's own words on its refusal, in brackets; empty if it has none that can be read."""
    try:
        data = answer.read(65536)
        first = json.loads(data)["errors"][0]
        return f" ({printable(str(first.get('message') or first['code']))})"
    except Exception:  # an error page may be anything at all
        return ""


PLUGIN = Source("registry", "an image in a registry, without an engine", "registry:ghcr.io/team/app:1", open_registry)
