"""Certificates for a server under test and for its clients. Run by itself, it puts them into a folder, for tests whose Python cannot make them."""

import datetime
import ipaddress
import pathlib
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

# What the server's certificate calls itself.
ISSUER = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "interop")])


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def certificate(name: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    """One of that issuer, for a day."""
    now = datetime.datetime.now(datetime.timezone.utc)
    return (
        x509.CertificateBuilder(ISSUER, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
    )


def write(folder: str, name: str, signed: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> list:
    """Both as files: where they are."""
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    files = [pathlib.Path(folder, f"{name}.{kind}") for kind in ("pem", "key")]
    files[0].write_bytes(signed.public_bytes(pem))
    files[1].write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return [str(file) for file in files]


def make_certificate(folder: str, key=None) -> list:
    """A certificate of a server at 127.0.0.1 that vouches for itself, and its key."""
    key = key or new_key()
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    signed = (
        certificate(ISSUER, key)
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return write(folder, "server", signed, key)


def make_certificates(folder: str) -> list:
    """The same, and the certificate and key of a client that the server's one vouches for."""
    issuer, key = new_key(), new_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "client")])
    signed = (
        certificate(name, key)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("client")]), critical=False)
        .sign(issuer, hashes.SHA256())
    )
    return make_certificate(folder, issuer) + write(folder, "client", signed, key)


if __name__ == "__main__":
    print("\n".join(make_certificates(sys.argv[1])))
