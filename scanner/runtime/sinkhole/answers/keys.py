"""Keys that the sink shows to clients: made for one run, kept in memory, worth nothing to anybody.

asyncssh and cryptography are the optional extra `sandscan[observe]`; without them there is no key, and whoever asks says so.
"""

import os
import ssl
import warnings
from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

_CONTEXTS = 256
"""Certificates kept; a guest that asks for more names has the oldest made again."""
_DAYS = 7


class Keys:
    """One TLS certificate for each name, a few SSH host keys; all made when first asked for. `ssh_servers` are running with it."""

    def __init__(self) -> None:
        self._contexts: OrderedDict[tuple[str, tuple[str, ...], bool], ssl.SSLContext] = OrderedDict()
        self._tls_keys: dict[bool, EllipticCurvePrivateKey | RSAPrivateKey] = {}
        self._host_keys: dict[bool, list[Any]] = {}
        self.ssh_servers = 0

    def tls(self, name: str, protocols: tuple[str, ...], rsa: bool = False) -> ssl.SSLContext | None:
        """A server's context with a self-signed certificate for `name` (a host or an address), which speaks one of `protocols`
        (ALPN), SSL's oldest ciphers too. `rsa`: the client knows no ECDSA. None where cryptography is not installed."""
        wanted = (name, protocols, rsa)
        if wanted in self._contexts:
            self._contexts.move_to_end(wanted)
            return self._contexts[wanted]
        try:
            certificate = self._certificate(name, rsa)
        except ImportError:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        context.set_alpn_protocols(list(protocols))
        # the ssl module reads certificates from files alone; a memfd is a file that lies nowhere
        memory = os.memfd_create("certificate", os.MFD_CLOEXEC)
        try:
            os.write(memory, certificate)
            context.load_cert_chain(f"/proc/self/fd/{memory}")
        finally:
            os.close(memory)
        self._contexts[wanted] = context
        if len(self._contexts) > _CONTEXTS:
            self._contexts.popitem(last=False)
        return context

    def ssh(self, rsa: bool = False) -> list[Any]:
        """The SSH server's host keys (asyncssh's); none where asyncssh is not installed. `rsa`: the client knows no other kind."""
        if rsa not in self._host_keys:
            try:
                import asyncssh
            except ImportError:
                return []
            # it knows that old clients' algorithms are old; the sink's output is no place to say so
            warnings.filterwarnings("ignore", module=r"asyncssh\.")
            kinds = ("ssh-rsa",) if rsa else ("ssh-ed25519", "ecdsa-sha2-nistp256")
            self._host_keys[rsa] = [asyncssh.generate_private_key(kind) for kind in kinds]
        return self._host_keys[rsa]

    def _certificate(self, name: str, rsa: bool) -> bytes:
        """Key and certificate in PEM. Raises ImportError without cryptography."""
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

        key = self._tls_keys.get(rsa)
        if key is None:
            key = self._tls_keys[rsa] = (
                generate_private_key(65537, 2048) if rsa else ec.generate_private_key(ec.SECP256R1())
            )
        who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64] or "localhost")])
        alternative: x509.GeneralName
        try:
            alternative = x509.IPAddress(ip_address(name))
        except ValueError:
            alternative = x509.DNSName(name or "localhost")
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(who)
            .issuer_name(who)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=_DAYS))
            .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .sign(key, hashes.SHA256())
        )
        return key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ) + certificate.public_bytes(serialization.Encoding.PEM)
