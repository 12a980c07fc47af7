"""Every setting of ``python -m bento.pacs``: a flag, or an environment variable named ``CHEST_XRAY_PACS_``."""

import difflib
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from bento.settings import PACS_PREFIX

DICOM_SCHEMES = ("dicom", "dicoms")
WEB_SCHEMES = ("http", "https")


@dataclass(frozen=True)
class Destination:
    """Where results are sent: ``dicom://AET@host:port`` (``dicoms``: by TLS), or the URL of a DICOMweb server."""

    url: str
    scheme: str
    host: str
    port: int
    ae_title: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Take a URL apart.

        Raises:
            ValueError: it is none, or lacks a part; one line.
        """
        parts = urlsplit(text)
        is_dicom = parts.scheme in DICOM_SCHEMES
        if not (is_dicom or parts.scheme in WEB_SCHEMES) or not parts.hostname:
            raise ValueError(f"{text!r}: give dicom://AETITLE@host:port or the https://… of a DICOMweb server")
        if is_dicom and not (parts.username and parts.port):
            raise ValueError(f"{text!r}: lacks the AE title or the port; give dicom://AETITLE@host:port")
        if not is_dicom and parts.username:
            raise ValueError("a DICOMweb URL with a user in it; put the credentials into the token file")
        default = 443 if parts.scheme == "https" else 80
        title = unquote(parts.username or "")
        return cls(text.rstrip("/"), parts.scheme, parts.hostname, parts.port or default, title)


@dataclass(frozen=True)
class Peer:
    """Who may send: a calling AE title from an address or a network."""

    ae_title: str
    network: ipaddress.IPv4Network | ipaddress.IPv6Network

    @classmethod
    def parse(cls, text: str) -> Self:
        """Take ``AETITLE@address`` apart.

        Raises:
            ValueError: something else; one line.
        """
        title, at, address = text.rpartition("@")
        if not at or not 1 <= len(title) <= 16:
            raise ValueError(f"{text!r}: give AETITLE@address, e.g. ORTHANC@127.0.0.1 or ORTHANC@10.0.0.0/8")
        return cls(title, ipaddress.ip_network(address, strict=False))

    def is_at(self, address: str) -> bool:
        """Whether an IP address, also an IPv4 one written as IPv6, is the peer's."""
        ip = ipaddress.ip_address(address)
        mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
        return (mapped or ip) in self.network


class PacsSettings(BaseSettings):
    """Settings of the gateway. The docstrings below the fields are their documentation."""

    model_config = SettingsConfigDict(
        env_prefix=PACS_PREFIX, env_ignore_empty=True, frozen=True, use_attribute_docstrings=True
    )

    service: str = "http://127.0.0.1:3000"
    """URL of the service that judges the images."""
    service_key_file: Path | None = None
    """File that holds the service's API key, and nothing else."""
    model: str = ""
    """Tag in the BentoML model store: judge in this process with this model, without the service."""
    to: str = ""
    """Where results are sent, with commas between: ``dicom://AETITLE@host:port`` (C-STORE; ``dicoms``: by TLS) or
    the URL of a DICOMweb server (STOW-RS)."""
    peers: str = ""
    """Who may send to the DICOM node, with commas between: ``AETITLE@address`` or ``AETITLE@network/bits``. Not given:
    there is no node."""
    watch: str = ""
    """URL of the DICOMweb server that is asked for new images. Not given: none is."""
    ae_title: str = Field(default="CHESTXRAY", min_length=1, max_length=16)
    """AE title of the node, and the one that it calls others by."""
    host: str = "127.0.0.1"
    """Address that the node and the metrics listen on; ``0.0.0.0``: all."""
    dicom_port: int = Field(default=11112, ge=1, le=65535)
    """Port of the DICOM node."""
    metrics_port: int = Field(default=9404, ge=1, le=65535)
    """Port of ``/metrics``, ``/readyz`` and ``/livez``."""
    watch_seconds: float = Field(default=2.0, gt=0)
    """Seconds between two questions to the watched server."""
    watch_days: int = Field(default=3, ge=0)
    """How many days before its last look-up the study date of a film may be for the watcher to find it."""
    token_file: Path | None = None
    """File with one line for each DICOMweb server that asks for credentials: its URL, then the value of the header
    ``Authorization``."""
    ca_file: Path | None = None
    """Certificates (PEM) of the authorities that are trusted, for HTTPS and DICOM over TLS. Not given: the system's."""
    cert_file: Path | None = None
    """Certificate (PEM) of this process. With it the node speaks TLS alone, and asks for a certificate of ``ca_file``'s
    authorities."""
    cert_key_file: Path | None = None
    """Its key (PEM)."""
    spool: Path = Path("data/pacs")
    """Folder of the ledger and of what waits; only its owner can read it."""
    spool_gb: float = Field(default=10.0, gt=0)
    """Most gigabytes that wait there; beyond it nothing more is taken in until something is delivered."""
    keep_days: float = Field(default=0.0, ge=0)
    """Days that images and results stay in the spool after they are delivered."""
    max_file_mb: float = Field(default=64.0, gt=0)
    """Largest image file in megabytes."""
    max_associations: int = Field(default=8, ge=1, le=256)
    """Most connections to the node at one time."""
    message_seconds: float = Field(default=60.0, gt=0)
    """Seconds that a peer may take to send one image."""
    workers: int = Field(default=4, ge=1, le=64)
    """Images that are judged at the same time."""
    capture: bool = True
    """Send a secondary capture with the heat map, beside the report."""
    refusals: bool = False
    """Send a report that says why, for an image that the service refuses."""

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        _ = self.destinations, self.allowed  # raise what is wrong with them
        for name in ("service", "watch"):
            if (url := getattr(self, name)) and urlsplit(url).scheme not in WEB_SCHEMES:
                raise ValueError(f"{name}: {url!r} is no http:// or https:// URL")
        if (self.cert_file is None) != (self.cert_key_file is None):
            raise ValueError("cert_file and cert_key_file go together")
        if self.cert_file is not None and self.ca_file is None:
            raise ValueError("cert_file: name the authorities whose peers are let in, in ca_file")
        return self

    @property
    def destinations(self) -> tuple[Destination, ...]:
        """Where results are sent."""
        return tuple(Destination.parse(text.strip()) for text in self.to.split(",") if text.strip())

    @property
    def allowed(self) -> tuple[Peer, ...]:
        """Who may send to the node."""
        return tuple(Peer.parse(text.strip()) for text in self.peers.split(",") if text.strip())


def check_pacs_environment(environment: Mapping[str, str]) -> None:
    """Refuse a setting's name that is mistyped.

    Raises:
        ValueError: an environment variable begins like a setting and is none.
    """
    fields = [field.upper() for field in PacsSettings.model_fields]
    for name in map(str.upper, environment):
        if name.startswith(PACS_PREFIX) and (rest := name.removeprefix(PACS_PREFIX)) not in fields:
            guesses = difflib.get_close_matches(rest, fields, n=1)
            hint = f"did you mean {PACS_PREFIX}{guesses[0]}?" if guesses else "docs/configuration.md lists them"
            raise ValueError(f"{name}: there is no such setting; {hint}")


def read_secret(file: Path) -> str:
    """The content of a file that holds a key.

    Raises:
        ValueError: it can't be read or is empty; one line.
    """
    try:
        text = file.read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: can't be read as text") from error
    if not text or "\n" in text:
        raise ValueError(f"{file}: holds no key, or more than one line")
    return text


def read_tokens(file: Path | None) -> dict[str, str]:
    """The value of ``Authorization`` for each URL of a token file.

    Raises:
        ValueError: it can't be read, or a line is no URL and a value; one line, which quotes nothing.
    """
    if file is None:
        return {}
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: can't be read as text") from error
    tokens = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        url, _, value = line.strip().partition(" ")
        if urlsplit(url).scheme not in WEB_SCHEMES or not value.strip():
            raise ValueError(f"{file}, line {number}: not a URL and, after a space, the value of Authorization")
        tokens[url.rstrip("/")] = value.strip()
    return tokens
