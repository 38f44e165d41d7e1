"""The chart on a real cluster: installed, used, upgraded while tasks run, tested, uninstalled, and nothing left."""

import json
import os
import urllib.error
import urllib.request

import tes
import yaml

from around import CHART, Door, Storage, ensure, forwarded, helm, kubectl, objects, secret, until
from rendered import check_all

# What a task may take from its creation to its end on a loaded machine, seconds.
PATIENCE = 180
RUNNING = 4
ENDS = ("COMPLETE", "EXECUTOR_ERROR", "SYSTEM_ERROR", "CANCELED")
# Every kind of object that the chart or the server makes.
KINDS = "deployments,replicasets,pods,jobs,secrets,configmaps,services,ingresses,serviceaccounts,roles,rolebindings," \
    "persistentvolumeclaims,networkpolicies,poddisruptionbudgets"


def tell(arguments, scratch):
    mark = "tessera-chart-%d" % os.getpid()
    storage, door = None, None
    try:
        storage, door = Storage(arguments.gateway, arguments.host, scratch), Door(arguments.host)
        for tasks in (None, mark + "-tasks"):
            Installation(arguments, scratch, mark, tasks, storage, door).tell()
    except BaseException:
        show(mark)
        raise
    finally:
        kubectl("delete", "namespace", mark, mark + "-tasks", "--ignore-not-found", "--wait=false", check=False)
        kubectl("delete", "persistentvolume", mark, "--ignore-not-found", "--wait=false", check=False)
        if door:
            door.close()
        if storage:
            storage.close()


class Installation:
    """One release; its tasks in its own namespace, or in another one."""

    def __init__(self, arguments, scratch, mark, tasks, storage, door):
        self.arguments, self.mark, self.storage, self.door = arguments, mark, storage, door
        self.tasks = tasks or mark
        self.apart = tasks is not None
        self.folder = scratch / self.tasks
        self.values = self.folder / "values.yaml"
        self.folder.mkdir()
        # Reached by the kubelet, which gives the volume to the server's group.
        scratch.chmod(0o755)

    def tell(self):
        where = "tasks in %s" % ("another namespace" if self.apart else "the same namespace")
        for namespace in {self.mark, self.tasks}:
            if not objects("namespaces", "--field-selector", "metadata.name=" + namespace):
                kubectl("create", "namespace", namespace)
        self.write_values()
        if not self.arguments.storage_class:
            self.make_volume()
        helm("install", "demo", CHART, "--namespace", self.mark, "--values", self.values, "--wait", "--timeout", "180s")
        self.token = secret(self.mark, "demo-tessera-token", "token")
        self.says("installed", where)
        with forwarded(self.mark, "demo-tessera") as url:
            self.nobody_enters_without_the_token(url)
            self.a_task_with_inputs_and_outputs(url)
            running = self.tasks_that_wait_at_the_door(url)
        self.upgrade(running)
        helm("test", "demo", "--namespace", self.mark, "--logs", "--timeout", "%ds" % PATIENCE)
        self.says("tested", "helm test ran a task")
        self.uninstall()

    def says(self, what, more):
        print("PASS  %-9s %s" % (what, more), flush=True)

    def write_values(self):
        repository, tag = self.arguments.image.rsplit(":", 1)
        self.values.write_text(yaml.safe_dump({
            "image": {"repository": repository, "tag": tag},
            "secrets": {"s3": self.storage.secret + "\n"},
            "tasks": {"namespace": self.tasks if self.apart else ""},
            "config": {"storage": {"rules": [{
                "prefix": "s3://", "endpoint": self.storage.endpoint, "region": "us-east-1",
                "access_key_id": self.storage.key, "secret_access_key_file": "/run/secrets/tessera/s3"}]}},
            "persistence": {"storageClass": self.arguments.storage_class or "-", "size": "1Gi"},
            "test": {"image": self.arguments.task_image},
        }))

    def make_volume(self):
        """A local one, of nobody's: the kubelet has to give it to the pod's group."""
        (self.folder / "volume").mkdir(mode=0o755)
        node = objects("nodes")[0]["metadata"]["labels"]["kubernetes.io/hostname"]
        here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
        kubectl("delete", "persistentvolume", self.mark, "--ignore-not-found")
        kubectl("apply", "-f", "-", text=json.dumps({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": self.mark},
            "spec": {
                "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "",
                "persistentVolumeReclaimPolicy": "Retain", "local": {"path": str(self.folder / "volume")},
                "claimRef": {"namespace": self.mark, "name": "demo-tessera"},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}}}}))

    def nobody_enters_without_the_token(self, url):
        for token, expected in ((None, 401), ("wrong", 401), (self.token, 200)):
            request = urllib.request.Request(url + "/ga4gh/tes/v1/tasks")
            if token:
                request.add_header("Authorization", "Bearer " + token)
            try:
                code = urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request).status
            except urllib.error.HTTPError as refused:
                code = refused.code
            ensure(code == expected, "with the token %s the answer is %d", "of the Secret" if token == self.token else token, code)
        self.says("token", "nobody enters without it")

    def client(self, url):
        return tes.HTTPClient(url, timeout=60, token=self.token)

    def task(self, script, name):
        url = "s3://%s/%s/" % (self.storage.bucket, self.tasks)
        return tes.Task(
            name=name, executors=[tes.Executor(image=self.arguments.task_image, command=["sh", "-c", script])],
            inputs=[tes.Input(url=url + "in.txt", path="/in/in.txt")],
            outputs=[tes.Output(url=url + name + ".txt", path="/out/out.txt")],
            resources=tes.Resources(ram_gb=0.1))

    def a_task_with_inputs_and_outputs(self, url):
        self.storage.put(self.tasks + "/in.txt", "b\na\n")
        client = self.client(url)
        task = client.create_task(self.task("sort /in/in.txt > /out/out.txt", "sorted"))
        self.completes(client, task)
        self.delivers("sorted", "a\nb\n")
        self.says("task", "through py-tes, inputs and outputs in S3")

    def completes(self, client, task):
        ended = until("task %s ends" % task, PATIENCE, lambda: self.ended(client, task))
        ensure(ended.state == "COMPLETE", "task %s ended %s: %s", task, ended.state, ended.logs)
        ensure(len(ended.logs) == 1, "task %s took %d attempts", task, len(ended.logs))

    def ended(self, client, task):
        found = client.get_task(task, "FULL")
        return found if found.state in ENDS else None

    def delivers(self, name, expected):
        found = self.storage.get("%s/%s.txt" % (self.tasks, name))
        ensure(found == expected, "output %s holds %r", name, found)

    def wait_at_the_door(self, name):
        script = "until wget -q -O /dev/null %s/%s; do sleep 0.3; done; sort /in/in.txt > /out/out.txt"
        return self.task(script % (self.door.url, name), name)

    def tasks_that_wait_at_the_door(self, url):
        """Their commands run; they end when they are let."""
        self.door.open.clear()
        names = ["%s-held-%d" % (self.tasks, number) for number in range(RUNNING)]
        client = self.client(url)
        running = {client.create_task(self.wait_at_the_door(name)): name for name in names}
        until("all tasks ask at the door", PATIENCE, lambda: self.door.asked >= set(names))
        return running

    def jobs(self):
        return objects("jobs", "-n", self.tasks, "-l", "tessera.installation")

    def upgrade(self, running):
        """The server is another one afterwards; the tasks, their Jobs and the token are the same."""
        before = {job["metadata"]["uid"] for job in self.jobs()}
        ensure(len(before) >= len(running), "%d tasks run as %d Jobs", len(running), len(before))
        check_all([as_made(job) for job in self.jobs()], "Jobs")
        servers = self.servers()
        words = ["--set", "config.service_info.environment=upgraded"]
        helm("upgrade", "demo", CHART, "--namespace", self.mark, "--values", self.values, *words, "--wait", "--timeout", "180s")
        until("the old server is gone", 60, lambda: not servers & self.servers())
        ensure(secret(self.mark, "demo-tessera-token", "token") == self.token, "the upgrade made another token")
        with forwarded(self.mark, "demo-tessera") as url:
            client = self.client(url)
            ensure(client.get_service_info().environment == "upgraded", "the new server has the old configuration")
            after = {job["metadata"]["uid"] for job in self.jobs()}
            ensure(after <= before, "the upgrade made %d more Jobs", len(after - before))
            self.door.open.set()
            for task, name in running.items():
                self.completes(client, task)
                self.delivers(name, "a\nb\n")
            self.says("upgraded", "under %d running tasks, none lost and none run twice" % len(running))

    def servers(self):
        label = "app.kubernetes.io/component=server"
        return {pod["metadata"]["uid"] for pod in objects("pods", "-n", self.mark, "-l", label)}

    def uninstall(self):
        """With a task that runs, one that ended a moment ago, and one that has not begun."""
        self.door.open.clear()
        self.door.asked.clear()
        with forwarded(self.mark, "demo-tessera") as url:
            client = self.client(url)
            self.completes(client, client.create_task(self.task("cp /in/in.txt /out/out.txt", "last")))
            client.create_task(self.wait_at_the_door("left"))
            until("the task asks at the door", PATIENCE, lambda: "left" in self.door.asked)
            client.create_task(self.wait_at_the_door("later"))
        helm("uninstall", "demo", "--namespace", self.mark, "--wait", "--timeout", "120s")
        self.door.open.set()
        try:
            until("nothing is left", 90, lambda: not self.left())
        except Exception as failure:
            raise type(failure)("%s: %s" % (failure, self.left()))
        self.says("removed", "nothing is left in any namespace, with a task still running")

    def left(self):
        """What has a label of the chart's or of the server's, anywhere; and whatever is there that is not a namespace's own."""
        found = []
        for words in (["-l", "tessera.installation"], ["-l", "app.kubernetes.io/name=tessera,app.kubernetes.io/instance=demo"]):
            found += [one for one in objects(KINDS, "--all-namespaces", *words) if one["metadata"]["namespace"].startswith(self.mark)]
        for namespace in {self.mark, self.tasks}:
            own = ("default", "kube-root-ca.crt")
            found += [one for one in objects(KINDS, "-n", namespace) if one["metadata"]["name"] not in own]
        return sorted({"%s %s" % (one["kind"], one["metadata"]["name"]) for one in found})


def as_made(job):
    """What the server sent: without what the cluster has added, some of which older ones do not know."""
    template = job["spec"]["template"]
    for meta in (job["metadata"], template["metadata"]):
        for key in ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"):
            meta.pop(key, None)
        for key in [key for key in meta.get("labels", {}) if "controller-uid" in key or "job-name" in key]:
            del meta["labels"][key]
    for key in ("selector", "podReplacementPolicy", "manualSelector"):
        job["spec"].pop(key, None)
    job.pop("status", None)
    return job


def show(namespace):
    """What happened, for who has to find out."""
    for words in (["get", "all,pvc"], ["get", "events", "--sort-by", ".lastTimestamp"],
                  ["describe", "pods"], ["logs", "-l", "app.kubernetes.io/component=server", "--tail=60"]):
        for where in (namespace, namespace + "-tasks"):
            print(kubectl("-n", where, *words, check=False)[-6000:])
