"""Who is who: one authority, a key and a certificate for everybody, and how each finds the API server."""

import base64
import json
import os
import secrets
from pathlib import Path

from command import run
from place import Place

# Name: subject. Groups that start with `system:` are Kubernetes' own.
CLIENTS = {
    "admin": "/O=system:masters/CN=admin",
    "kubelet-client": "/O=system:masters/CN=kube-apiserver-kubelet-client",
    "coredns": "/O=system:masters/CN=coredns",
    "kubelet": "/O=system:nodes/CN=system:node:tessera",
    "kube-controller-manager": "/CN=system:kube-controller-manager",
    "kube-scheduler": "/CN=system:kube-scheduler",
    "kube-proxy": "/CN=system:kube-proxy",
}
CURVE = ["-pkeyopt", "ec_paramgen_curve:prime256v1"]
DAYS = "3650"


def ensure(place: Place) -> None:
    done = place.keys / "done"
    if not done.exists():
        authority(place)
        service = f"{place.net}.128.1"
        names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"]
        server = [f"IP:{ip}" for ip in (place.node, "127.0.0.1", service)]
        certificate(place, "kube-apiserver", "/CN=kube-apiserver", server + [f"DNS:{name}" for name in ["localhost", *names]])
        certificate(place, "kubelet-server", "/CN=tessera", [f"IP:{place.node}", "IP:127.0.0.1", "DNS:tessera"])
        for name, subject in CLIENTS.items():
            certificate(place, name, subject, [])
            kubeconfig(place, place.keys / f"{name}.kubeconfig", name)
        done.touch()
    kubeconfig(place, place.kubeconfig, "admin")


def authority(place: Place) -> None:
    key, crt = str(place.keys / "ca.key"), str(place.keys / "ca.crt")
    usage = "keyUsage=critical,digitalSignature,keyCertSign,cRLSign"
    request = ["openssl", "req", "-x509", "-newkey", "ec", *CURVE, "-nodes", "-days", DAYS, "-subj", "/CN=tessera-node"]
    run(*request, "-addext", usage, "-keyout", key, "-out", crt)
    # The API server reads this one in SEC1 form only.
    tokens = str(place.keys / "service-account.key")
    run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", tokens)


def certificate(place: Place, name: str, subject: str, names: list[str]) -> None:
    file = lambda ending: str(place.keys / f"{name}.{ending}")  # noqa: E731
    run("openssl", "req", "-new", "-newkey", "ec", *CURVE, "-nodes", "-subj", subject, "-keyout", file("key"), "-out", file("csr"))
    extensions = ["basicConstraints=CA:FALSE", "keyUsage=digitalSignature", "extendedKeyUsage=serverAuth,clientAuth"]
    if names:
        extensions.append("subjectAltName=" + ",".join(names))
    Path(file("ext")).write_text("\n".join(extensions) + "\n")
    sign = ["openssl", "x509", "-req", "-CA", str(place.keys / "ca.crt"), "-CAkey", str(place.keys / "ca.key")]
    serial = f"0x{secrets.token_hex(8)}"
    run(*sign, "-set_serial", serial, "-days", DAYS, "-in", file("csr"), "-extfile", file("ext"), "-out", file("crt"))


def kubeconfig(place: Place, file: Path, user: str) -> None:
    def data(name: str) -> str:
        return base64.b64encode((place.keys / name).read_bytes()).decode()

    # JSON is YAML.
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "tessera",
        "contexts": [{"name": "tessera", "context": {"cluster": "tessera", "user": user}}],
        "clusters": [
            {"name": "tessera", "cluster": {"server": place.api, "certificate-authority-data": data("ca.crt")}}
        ],
        "users": [
            {
                "name": user,
                "user": {"client-certificate-data": data(f"{user}.crt"), "client-key-data": data(f"{user}.key")},
            }
        ],
    }
    fresh = file.with_suffix(".new")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
        json.dump(config, out, indent=2)
    fresh.replace(file)
