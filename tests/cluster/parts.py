"""The parts, their command lines, and how to see that they work."""

import json
import ssl
import urllib.request

from command import run
from place import Place

# In the order of their start. The second lot would end again if it found no API server.
FIRST = ["containerd", "etcd", "kube-apiserver"]
SECOND = ["kube-controller-manager", "kubelet", "kube-scheduler", "kube-proxy", "coredns"]
# In the order of their end, with the seconds that each is given.
LAST = [
    {"kubelet": 5},
    {"coredns": 1, "kube-proxy": 1, "kube-scheduler": 1, "kube-controller-manager": 1},
    {"kube-apiserver": 3},
    {"etcd": 3, "containerd": 3},
]


def command(place: Place, name: str) -> list[str]:
    if name == "containerd":
        return ["containerd", "--config", f"{place.dir}/containerd.toml", "--log-level", "warn"]
    if name == "coredns":
        return [f"{place.bin}/coredns", "-conf", f"{place.dir}/Corefile"]
    flags = {**FLAGS[name](place), **(COMMON if name in QUIET else {})}
    return [f"{place.bin}/{name}", *(f"--{flag}={value}" for flag, value in flags.items())]


QUIET = ("kube-controller-manager", "kube-scheduler")
COMMON = {"leader-elect": "false", "bind-address": "127.0.0.1", "profiling": "false"}


def etcd(place: Place) -> dict:
    clients, peers = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
    return {
        "name": "tessera",
        "data-dir": place.dir / "etcd",
        # A machine that loses power loses its test cluster.
        "unsafe-no-fsync": "true",
        "log-level": "warn",
        "listen-client-urls": clients,
        "advertise-client-urls": clients,
        "listen-peer-urls": peers,
        "initial-advertise-peer-urls": peers,
        "initial-cluster": f"tessera={peers}",
    }


def apiserver(place: Place) -> dict:
    keys = place.keys
    return {
        "etcd-servers": "http://127.0.0.1:2379",
        "bind-address": "0.0.0.0",
        "advertise-address": place.node,
        "secure-port": 6443,
        "service-cluster-ip-range": place.services,
        "allow-privileged": "true",
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        "profiling": "false",
        "client-ca-file": keys / "ca.crt",
        "tls-cert-file": keys / "kube-apiserver.crt",
        "tls-private-key-file": keys / "kube-apiserver.key",
        "kubelet-client-certificate": keys / "kubelet-client.crt",
        "kubelet-client-key": keys / "kubelet-client.key",
        "kubelet-certificate-authority": keys / "ca.crt",
        # Otherwise logs and exec ask DNS for the node's name, for a long time.
        "kubelet-preferred-address-types": "InternalIP",
        "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
        "service-account-key-file": keys / "service-account.key",
        "service-account-signing-key-file": keys / "service-account.key",
        "audit-policy-file": place.dir / "audit-policy.json",
        "audit-log-path": place.audit_log,
        # Who counts in it reads one file.
        "audit-log-maxsize": 4096,
    }


def controllers(place: Place) -> dict:
    return {
        "kubeconfig": place.keys / "kube-controller-manager.kubeconfig",
        "use-service-account-credentials": "true",
        "service-account-private-key-file": place.keys / "service-account.key",
        "root-ca-file": place.keys / "ca.crt",
        "cluster-signing-cert-file": place.keys / "ca.crt",
        "cluster-signing-key-file": place.keys / "ca.key",
        "kube-api-qps": 500,
        "kube-api-burst": 1000,
    }


def kubelet(place: Place) -> dict:
    return {
        "config": place.dir / "kubelet.json",
        "kubeconfig": place.keys / "kubelet.kubeconfig",
        "root-dir": place.dir / "kubelet",
        "tls-cert-file": place.keys / "kubelet-server.crt",
        "tls-private-key-file": place.keys / "kubelet-server.key",
        "hostname-override": "tessera",
        "node-ip": place.node,
        "containerd": place.containerd,
    }


def scheduler(place: Place) -> dict:
    return {"kubeconfig": place.keys / "kube-scheduler.kubeconfig"}


def proxy(place: Place) -> dict:
    return {
        "kubeconfig": place.keys / "kube-proxy.kubeconfig",
        "proxy-mode": "nftables",
        "cluster-cidr": place.pods,
        "hostname-override": "tessera",
        "healthz-bind-address": "127.0.0.1:10256",
        "metrics-bind-address": "127.0.0.1:10249",
        # That limit is the whole machine's.
        "conntrack-max-per-core": 0,
    }


FLAGS = {
    "etcd": etcd,
    "kube-apiserver": apiserver,
    "kube-controller-manager": controllers,
    "kubelet": kubelet,
    "kube-scheduler": scheduler,
    "kube-proxy": proxy,
}


def answers(place: Place, url: str) -> bool:
    """Whether an administrator is told that all is well."""
    trust = ssl.create_default_context(cafile=str(place.keys / "ca.crt"))
    trust.load_cert_chain(place.keys / "admin.crt", place.keys / "admin.key")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust))
    try:
        with opener.open(url, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def node_is_ready(place: Place) -> bool:
    seen = kubectl(place, "get", "node", "tessera", "--output", "json")
    conditions = json.loads(seen)["status"].get("conditions", []) if seen else []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def pods_can_be_made(place: Place) -> bool:
    """A namespace's service account is made after it; without one no pod is accepted."""
    return kubectl(place, "--namespace", "default", "get", "serviceaccount", "default") != ""


def kubectl(place: Place, *words: str) -> str:
    done = run(f"{place.bin}/kubectl", "--kubeconfig", str(place.kubeconfig), *words, check=False)
    return done.stdout if done.returncode == 0 else ""
