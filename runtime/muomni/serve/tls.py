"""A certificate of the server's own making: for a browser on another machine, which needs TLS for its microphone."""

from __future__ import annotations

import datetime
import ipaddress
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from muomni.errors import MissingPackageError

DAYS = 30


@dataclass(frozen=True)
class Certificate:
    """Files in PEM, and the SHA-256 by which a person recognises the certificate."""

    cert: Path
    key: Path
    fingerprint: str


@contextmanager
def self_signed(host: str) -> Iterator[Certificate]:
    """A fresh certificate, in files that only this user can read and that are gone afterwards.

    Raises:
        MissingPackageError: the package ``cryptography`` is not installed.
    """
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError as error:
        raise MissingPackageError(
            "a certificate of our own needs the package cryptography; install it with\n  pip install cryptography\n"
            "or give one with --tls-cert and --tls-key"
        ) from error

    names: list[x509.GeneralName] = [
        x509.DNSName(name) for name in ("localhost", socket.gethostname()) if name.isascii()
    ]
    for address in _addresses(host):
        names.append(x509.IPAddress(address))
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "muomni-serve")])
    now = datetime.datetime.now(datetime.UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=DAYS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    with TemporaryDirectory(prefix="muomni-tls-") as folder:  # made for its owner alone
        cert_path, key_path = Path(folder, "cert.pem"), Path(folder, "key.pem")
        cert_path.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
        descriptor = os.open(key_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(
                key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption(),
                )
            )
        yield Certificate(cert_path, key_path, cert.fingerprint(hashes.SHA256()).hex(":").upper())


def _addresses(host: str) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """Addresses by which the server may be called."""
    found = {"127.0.0.1", "::1"}
    try:
        if not ipaddress.ip_address(host).is_unspecified:
            found.add(host)
    except ValueError:
        pass
    # A datagram socket that is connected sends nothing, and knows which of our addresses leads outside.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # of a range that belongs to nobody
            found.add(probe.getsockname()[0])
        except OSError:
            pass
    return sorted((ipaddress.ip_address(one) for one in found), key=str)
