"""What helm makes of the chart, with several sets of values, is what Kubernetes takes and the server reads."""

import subprocess
from pathlib import Path

import yaml
from kubernetes_validate import utils, validate

from around import CHART, ensure, helm

SETS = Path(__file__).resolve().parent / "sets"
# The oldest version that the chart is for, as its Chart.yaml says.
OLDEST = "1.27"
# Those that cannot be right, and what has to be said about it.
REFUSED = [
    (["config.nope=1"], "nope"),
    (["config.server.listen=0.0.0.0:1"], "listen"),
    (["config.backends.kubernetes.gpu=1"], "gpu"),
    (["config.backends.docker.kind=docker"], "docker"),
    (["config.engine.attempts=three"], "attempts"),
    (["persistence.size=10", "replicaCount=2"], "replicaCount"),
    (["replicas=2"], "config.store.url_file"),
    (["replicas=0"], "replicas"),
    (["config.store.url=postgresql://tessera:x@db/tessera"], "config.store.url holds a password"),
    (["config.store.url=postgresql://db/tessera", "config.replica.name=a"], "said by the chart"),
    (["config.store.url=postgresql://db/tessera", "persistence.existingClaim=a"], "existingClaim"),
    (["config.auth.tokens[0].name=a", "config.auth.tokens[0].token=b"], "config.auth.tokens[0].token is a secret"),
    (["config.storage.rules[0].prefix=s3://", "config.storage.rules[0].secret_access_key=x"], "secret_access_key_file"),
]


def versions():
    """The oldest and the newest that we and kubernetes-validate know."""
    known = [utils.major_minor(version) for version in utils.all_versions()]
    ensure(OLDEST in known, "kubernetes-validate knows no %s any more; raise kubeVersion of the chart", OLDEST)
    about = yaml.safe_load((CHART / "Chart.yaml").read_text())
    ensure(about["kubeVersion"].startswith(">=%s." % OLDEST), "Chart.yaml says %s, and %s is tested", about["kubeVersion"], OLDEST)
    return OLDEST, known[-1]


def check_all(documents, what):
    for version in versions():
        for document in documents:
            validate(document, version, strict=True)
    print("PASS  %-9s %d objects are valid for Kubernetes %s and %s" % ((what, len(documents)) + versions()))


def documents(*words):
    return [one for one in yaml.safe_load_all(helm("template", "demo", CHART, "--namespace", "tes", *words)) if one]


def chart(image):
    """Everything that takes no cluster; `image` reads what is made."""
    print(helm("lint", "--strict", CHART).strip().splitlines()[-1])
    names = {}
    for given in [None] + sorted(SETS.glob("*.yaml")):
        words, name = (["--values", given], given.stem) if given else ([], "defaults")
        made = documents(*words)
        check_all(made, name)
        namespaced(made, name)
        reads(image, made, name)
        if name == "several":
            several(made)
        names[name] = {(one["kind"], one["metadata"]["name"]) for one in made}
    ensure(("Secret", "demo-tessera-token") in names["defaults"], "a token is made by default")
    ensure(("NetworkPolicy", "demo-tessera-tasks") in names["defaults"], "tasks are fenced in by default")
    ensure(not any(kind == "Secret" for kind, _ in names["bare"] | names["elsewhere"]), "no token where none is wanted")
    ensure(("PodDisruptionBudget", "demo-tessera") in names["everything"], "a budget where one is wanted")
    ensure(("PodDisruptionBudget", "demo-tessera") not in names["defaults"], "no budget for one server")
    ensure(("StatefulSet", "demo-tessera") not in names["defaults"], "one server on SQLite is a Deployment")
    for given, word in REFUSED:
        words = [word for pair in given for word in ("--set", pair)]
        done = subprocess.run(["helm", "template", "demo", str(CHART), *words], capture_output=True, text=True)
        ensure(done.returncode != 0 and word in done.stderr, "%s should be refused with `%s`, not: %s", given, word, done.stderr)
    print("PASS  refused   %d sets that cannot be right" % len(REFUSED))


def several(made):
    """Servers on one PostgreSQL: each has its name, its volume and an address that leads to it, and they reach each other."""
    found = {(one["kind"], one["metadata"]["name"]): one["spec"] for one in made if "spec" in one}
    ensure(not any(kind in ("Deployment", "PersistentVolumeClaim") for kind, _ in found), "several servers share a volume")
    servers, names = found["StatefulSet", "demo-tessera"], found["Service", "demo-tessera-servers"]
    pod = servers["template"]
    ensure(servers["replicas"] == 3 and servers["updateStrategy"]["type"] == "RollingUpdate", "three, replaced one after another")
    ensure(servers["serviceName"] == "demo-tessera-servers" and names["clusterIP"] == "None", "each pod has a name")
    ensure(names["selector"].items() <= pod["metadata"]["labels"].items(), "the names are those of the pods")
    ensure([claim["metadata"]["name"] for claim in servers["volumeClaimTemplates"]] == ["data"], "a volume each")
    container = pod["spec"]["containers"][0]
    said = {one["name"]: one for one in container["env"]}
    ensure(said["TESSERA_REPLICA__NAME"]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name", "a server's name is its pod's")
    address = "http://$(TESSERA_REPLICA__NAME).demo-tessera-servers.tes.svc:%d" % container["ports"][0]["containerPort"]
    ensure(said["TESSERA_REPLICA__ADDRESS"]["value"] == address, "a server's address is its pod's name")
    ensure(set(pod["spec"]["affinity"]) == {"nodeAffinity", "podAntiAffinity"}, "servers keep apart, and where they are wanted")
    peers = found["NetworkPolicy", "demo-tessera"]["ingress"][0]["from"]
    ensure({"podSelector": names["selector"]} in [{"podSelector": peer.get("podSelector", {}).get("matchLabels")} for peer in peers],
           "servers reach each other")
    ensure(found["PodDisruptionBudget", "demo-tessera"]["maxUnavailable"] == 1, "a drain takes one server at a time")
    print("PASS  several   each with its name, its volume and its address")


def namespaced(made, name):
    """Nothing is cluster-wide, everything has the labels that tools look for, nobody is root."""
    for one in made:
        at = "%s: %s %s" % (name, one["kind"], one["metadata"]["name"])
        ensure(not one["kind"].startswith("Cluster"), "%s is cluster-wide", at)
        ensure(one["metadata"].get("namespace"), "%s has no namespace", at)
        labels = one["metadata"]["labels"]
        for label in ("name", "instance", "version", "managed-by"):
            ensure("app.kubernetes.io/" + label in labels, "%s has no label %s", at, label)
        pod = one["spec"] if one["kind"] == "Pod" else one.get("spec", {}).get("template", {}).get("spec")
        if pod:
            ensure(pod["securityContext"]["runAsNonRoot"] and not pod["enableServiceLinks"], "%s is too open", at)
            for container in pod["containers"]:
                security = container["securityContext"]
                ensure(security["readOnlyRootFilesystem"] and security["capabilities"] == {"drop": ["ALL"]}, "%s is too open", at)


def reads(image, made, name):
    """The server itself reads the file that the chart writes; only the files it names are not there."""
    text = next(one["data"]["tessera.toml"] for one in made if "tessera.toml" in one.get("data", {}))
    argv = ["docker", "run", "--rm", "-i", "--network", "none", image, "config", "check", "--config", "/dev/stdin"]
    done = subprocess.run(argv, input=text, capture_output=True, text=True)
    wrong = [line for line in done.stderr.splitlines()[1:] if "cannot read" not in line and "is no folder" not in line]
    ensure(done.returncode == 0 or (done.returncode == 2 and not wrong), "%s: the server does not read its file: %s", name, done.stderr)
    print("PASS  %-9s the server reads tessera.toml" % name)
