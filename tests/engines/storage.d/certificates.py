"""A private authority, and a certificate of its own for this machine: ca.pem, cert.pem, key.pem, server.pem (the two)."""

import sys
from pathlib import Path

import trustme

folder = Path(sys.argv[1])
authority = trustme.CA(organization_name="Tessera's tests")
issued = authority.issue_cert("localhost", "127.0.0.1", "127.0.0.2", "::1")
chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
key = issued.private_key_pem.bytes()
(folder / "ca.pem").write_bytes(authority.cert_pem.bytes())
for name, text in (("cert.pem", chain), ("key.pem", key), ("server.pem", key + chain)):
    file = folder / name
    file.touch(mode=0o600)
    file.write_bytes(text)
