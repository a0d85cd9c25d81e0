"""Blobs in a bucket that clients read and bring without the server between them, by addresses signed for a while."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

import obstore
import urllib3
from obstore.store import S3Store

from lepton_ai.errors import LeptonError, NotFound, StorageFailed, Unsupported, UsageError
from lepton_ai.store.blobs.bucket import ObjectBlobs
from lepton_ai.store.blobs.signature import from_environment, signed
from lepton_ai.store.contract import PartsUpload

if TYPE_CHECKING:
    from obstore.store import AzureStore, GCSStore

_SOON = 900
"""Seconds for which the addresses are good that this process itself uses at once."""

_GONE = ("NoSuchUpload", "NoSuchKey")
_NOT_ITS_PARTS = ("InvalidPart", "InvalidPartOrder", "EntityTooSmall", "MalformedXML")


class PresigningBlobs(ObjectBlobs):
    """Blobs in a bucket of a cloud; presigned parts are for S3, and need an access key in the environment."""

    def __init__(
        self,
        store: S3Store | GCSStore | AzureStore,
        place: str,
        prefix: str = "",
        suffixes: bool = True,
        outside: S3Store | GCSStore | AzureStore | None = None,
    ) -> None:
        """``outside``: the same store, as clients reach it."""
        super().__init__(store, place, prefix, suffixes)
        self._store, self._outside = store, outside or store
        self._http = urllib3.PoolManager(retries=urllib3.Retry(3, backoff_factor=0.2), timeout=60)

    def presign_get(self, name: str, seconds: int) -> str:
        """An address that answers GET for so long."""
        return self._sign(self._outside, "GET", name, seconds)

    def _sign(self, store: S3Store | GCSStore | AzureStore, method: Any, name: str, seconds: int) -> str:
        path = self.path(name)
        try:
            with self.asking(name):
                return obstore.sign(store, method, path, timedelta(seconds=seconds))
        except StorageFailed as error:
            raise Unsupported(
                f"These credentials cannot sign addresses of {self.place}: {error.message}"
            ) from None

    def presign_parts(self, name: str, parts: int, seconds: int) -> PartsUpload:
        """Begin an upload of ``parts`` parts to ``name``."""
        answer = self._ask("POST", name, {"uploads": ""})
        found = re.search(r"<UploadId>([^<]+)</UploadId>", answer)
        if found is None:
            raise StorageFailed(f"{self.place} began no upload: it names none")
        upload = found.group(1)
        addresses = [
            self._address(self._outside, "PUT", name, {"partNumber": str(part), "uploadId": upload}, seconds)
            for part in range(1, parts + 1)
        ]
        return PartsUpload(upload, tuple(addresses))

    def finish_parts(self, name: str, upload: str, etags: Sequence[str]) -> None:
        """Join the parts, durably."""
        listed = "".join(
            f"<Part><PartNumber>{part}</PartNumber><ETag>{escape(etag)}</ETag></Part>"
            for part, etag in enumerate(etags, 1)
        )
        body = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>"
        try:
            self._ask("POST", name, {"uploadId": upload}, body)
        except (NotFound, StorageFailed):
            if self._find(self.path(name), name) is not None:
                return  # only the answer to an earlier try was lost
            self._ask(
                "GET", name, {"uploadId": upload}
            )  # some fall over an upload that is gone; they know it here
            raise

    def abandon_parts(self, name: str, upload: str) -> None:
        """Drop the parts."""
        with suppress(NotFound):
            self._ask("DELETE", name, {"uploadId": upload})

    def adopt(self, source: str, name: str) -> None:
        """Give the blob ``source`` the name ``name``, inside the store."""
        size = self.info(source).size
        try:
            self.info(name)
        except NotFound:
            with self.asking(source):
                obstore.copy(self.store, self.path(source), self.path(name))
            if self.info(name).size != size:
                self.delete([name])
                raise StorageFailed(f"{self.place}/{name}: the store copied something else") from None
        self.delete([source])

    def _address(
        self,
        store: S3Store | GCSStore | AzureStore,
        method: str,
        name: str,
        parameters: Mapping[str, str],
        seconds: int,
    ) -> str:
        credentials = from_environment()
        if not isinstance(store, S3Store) or credentials is None:
            raise Unsupported(
                f"{self.place} takes no presigned parts",
                hint="this needs S3 and AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment",
            )
        bare = urlsplit(self._sign(store, method, name, seconds))
        region = re.search(r"X-Amz-Credential=[^&]*%2F(\w[\w-]*)%2Fs3%2Faws4_request", bare.query)
        if region is None:
            raise Unsupported(f"Addresses of {self.place} are not signed as S3 does it")
        address = f"{bare.scheme}://{bare.netloc}{bare.path}"
        return signed(method, address, parameters, seconds, credentials, region.group(1))

    def _ask(self, method: str, name: str, parameters: Mapping[str, str], body: str = "") -> str:
        """One request that obstore has no call for; what is not a success becomes our error."""
        address = self._address(self._store, method, name, parameters, _SOON)
        try:
            answer = self._http.request(method, address, body=body.encode())
        except urllib3.exceptions.HTTPError as error:
            # Its text holds the signed address.
            silent = isinstance(getattr(error, "reason", error), urllib3.exceptions.ReadTimeoutError)
            raise StorageFailed(
                f"{self.place}/{name}: the object store {'gives no answer' if silent else 'is not reached'}",
                hint="is it running and can it be reached?",
            ) from None
        text = answer.data.decode("utf-8", "replace")
        if answer.status < 300 and "<Error>" not in text:  # joining may fail after its status was sent
            return text
        raise self._refusal(name, answer.status, text)

    def _refusal(self, name: str, status: int, text: str) -> LeptonError:
        found = re.search(r"<Code>(\w{1,64})</Code>", text)
        code = found.group(1) if found else f"status {status}"
        if code in _GONE:
            return NotFound(f"There is no such upload to {self.place}/{name}.")
        if code in _NOT_ITS_PARTS:
            return UsageError(f"These are not the parts of the upload to {self.place}/{name} ({code}).")
        return StorageFailed(f"{self.place}/{name}: the object store refused the upload ({code})")
