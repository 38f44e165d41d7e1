"""The files that the parts read."""

import json

from place import Place

# Every registry is this closed port: an image that was not imported fails at once, and nobody outside is asked.
NOWHERE = "http://127.0.0.1:9"
PAUSE = "tessera.local/pause:1"

CONTAINERD = """\
version = 2
root = "{dir}/containerd/root"
state = "{dir}/containerd/state"
oom_score = 0
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.internal.v1.tracing",
  "io.containerd.tracing.processor.v1.otlp",
]

[grpc]
  address = "{dir}/containerd.sock"

[plugins."io.containerd.internal.v1.opt"]
  path = "{dir}/containerd/opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  # The kubelet asks for negative scores, which a machine that is a container itself refuses.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  stats_collect_period = 2
  containerd.snapshotter = "overlayfs"
  containerd.runtimes.runc = {{ runtime_type = "io.containerd.runc.v2", options = {{ SystemdCgroup = false }} }}
  cni = {{ bin_dir = "/usr/lib/cni", conf_dir = "{dir}/cni" }}
  registry.config_path = "{dir}/registry"
"""

REGISTRY = f"""\
server = "{NOWHERE}"
[host."{NOWHERE}"]
  capabilities = ["pull", "resolve"]
"""

COREFILE = """\
. {{
  bind {node}
  errors
  kubernetes cluster.local in-addr.arpa {{
    kubeconfig {dir}/keys/coredns.kubeconfig
    pods insecure
    ttl 5
  }}
}}
"""


def write(place: Place) -> None:
    words = {"dir": place.dir, "node": place.node, "pause": PAUSE}
    (place.dir / "containerd.toml").write_text(CONTAINERD.format(**words))
    (place.dir / "registry/_default/hosts.toml").write_text(REGISTRY)
    (place.dir / "Corefile").write_text(COREFILE.format(**words))
    (place.dir / "resolv.conf").write_text("")
    (place.dir / "kubelet.json").write_text(json.dumps(kubelet(place), indent=2))
    (place.dir / "audit-policy.json").write_text(json.dumps(AUDIT, indent=2))
    # containerd watches this folder, and is not to see half a file.
    (place.dir / "network.new").write_text(json.dumps(network(place), indent=2))
    (place.dir / "network.new").replace(place.dir / "cni/10-tessera.conflist")


def network(place: Place) -> dict:
    bridge = {
        "type": "bridge",
        "bridge": "pods0",
        "isDefaultGateway": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "dataDir": f"{place.dir}/containerd/addresses",
            "ranges": [[{"subnet": place.pods}]],
        },
    }
    return {"cniVersion": "0.4.0", "name": "tessera", "plugins": [bridge]}


def kubelet(place: Place) -> dict:
    never = ("memory.available", "nodefs.available", "nodefs.inodesFree", "imagefs.available", "imagefs.inodesFree")
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": "0.0.0.0",
        "port": 10250,
        "readOnlyPort": 0,
        "healthzBindAddress": "127.0.0.1",
        "healthzPort": 10248,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{place.keys}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": f"unix://{place.containerd}",
        "imageServiceEndpoint": f"unix://{place.containerd}",
        "podLogsDir": f"{place.logs}/pods",
        "volumePluginDir": f"{place.dir}/kubelet/volume-plugins",
        "resolvConf": f"{place.dir}/resolv.conf",
        "clusterDomain": "cluster.local",
        "clusterDNS": [place.node],
        # Old control groups, swap, containers around us: any machine will do.
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": place.cgroup,
        "enforceNodeAllocatable": ["none"],
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "maxOpenFiles": 20000,
        "makeIPTablesUtilChains": False,
        # A pod is evicted for its own limits, never because the machine's disk is full.
        "localStorageCapacityIsolation": True,
        "evictionHard": {signal: "0%" for signal in never},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        # As fast as tests would like it.
        "serializeImagePulls": False,
        "registryPullQPS": 0,
        "eventRecordQPS": 0,
        "kubeAPIQPS": 500,
        "kubeAPIBurst": 1000,
        "maxPods": 500,
        "syncFrequency": "10s",
        "volumeStatsAggPeriod": "2s",
        "nodeStatusUpdateFrequency": "5s",
        "shutdownGracePeriod": "0s",
    }


# What tests and measurements count: every call of whoever is not a part of the cluster, reads and watches included;
# of the parts themselves only what they make, change and delete of these.
OBJECTS = [{"group": "batch", "resources": ["jobs"]}, {"group": "", "resources": ["pods", "secrets"]}]
PARTS = [
    "system:apiserver",
    "system:kube-controller-manager",
    "system:kube-scheduler",
    "system:kube-proxy",
    "coredns",
    "kube-apiserver-kubelet-client",
]
AUDIT = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "omitManagedFields": True,
    "rules": [
        # The name of a Job's pod is made by the API server, and so is no part of the request: what was asked for, with
        # labels and the beginning of the name, is kept as `requestObject`.
        {"level": "Request", "verbs": ["create"], "resources": [{"group": "", "resources": ["pods"]}]},
        {"level": "Metadata", "verbs": ["create", "update", "patch", "delete", "deletecollection"], "resources": OBJECTS},
        {"level": "None", "users": PARTS},
        {"level": "None", "userGroups": ["system:nodes", "system:serviceaccounts:kube-system", "system:unauthenticated"]},
        # Probes, and what clients ask to learn which resources there are.
        {"level": "None", "nonResourceURLs": ["*"]},
        {"level": "Metadata"},
    ],
}
