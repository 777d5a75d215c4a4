"""The certificate and the key of a server that speaks HTTPS itself."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from videogen.errors import DataError, UsageError


@dataclass(frozen=True)
class TlsFiles:
    """In PEM format; the certificate may be followed by those of its issuers."""

    certificate: Path
    key: Path


def tls_files(certificate: Path | None, key: Path | None) -> TlsFiles | None:
    """None for no TLS. UsageError if one of the files is missing, DataError if they cannot be used together."""
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise UsageError("--tls-cert and --tls-key belong together; give both, or neither")
    for file in (certificate, key):
        check_readable(file)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, refuse_password)
    except ssl.SSLError as error:
        reason = "KEY_VALUES_MISMATCH" in str(error)
        problem = "the key is not that of the certificate" if reason else "not a certificate and its key in PEM format"
        raise DataError(f"{certificate} and {key}: {problem}") from None
    return TlsFiles(certificate, key)


def check_readable(file: Path) -> None:
    try:
        file.read_bytes()
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror or error})") from None


def refuse_password() -> str:
    raise DataError("--tls-key: the key is encrypted; give one without a password (`openssl pkey -in KEY -out PLAIN`)")
