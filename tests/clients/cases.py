"""The cases, each a small story: create, wait, look. They are the same for every client.

A case is a function of a client and of the world around the server; it fails by an AssertionError that shows the task.
"""

import json
import os
from pathlib import Path

from held import Held
from speakers import ENDS, ask_plainly, create_plainly, get_plainly, poll

BUSYBOX = "tessera-test/busybox:1"
# A container takes a third of a second here, on a busy machine some seconds.
PATIENCE = 90

CASES = []


def case(function, only=None):
    """A case of every client, or `only` of the one with this name."""
    function.only = only
    CASES.append(function)
    return function


def case_of(client):
    return lambda function: case(function, only=client)


class Story:
    """One client's tasks in one case, with a folder of its own below a root that the server may use."""

    def __init__(self, client, world, name):
        self.client, self.world, self.name = client, world, name
        self.folder = Path(world["files"]) / name
        self.folder.mkdir(parents=True)
        self.tasks, self.plain = [], set()

    def url(self, name):
        return "file://%s/%s" % (self.folder, name)

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return self.url(name)

    def read(self, name):
        path = self.folder / name
        assert path.exists(), "%s was not delivered; there is %s" % (path, sorted(os.listdir(self.folder)))
        return path.read_text()

    def create(self, *executors, **rest):
        task = dict(name=self.name, executors=list(executors), **rest)
        if any(word in executor for executor in executors for word in self.client.silent_about):
            task_id = create_plainly(self.client.url, task)
            self.plain.add(task_id)
        else:
            task_id = self.client.create(task)
        self.tasks.append(task_id)
        with open(self.world["ids"], "a") as ids:
            ids.write(task_id + "\n")
        return task_id

    def state(self, task_id):
        return self.client.get(task_id, "MINIMAL")["state"]

    def full(self, task_id):
        # What the client could not say it cannot read either: the server echoes it (TES contract 6.2).
        if task_id in self.plain:
            return get_plainly(self.client.url, task_id)
        return self.client.get(task_id, "FULL")

    def end(self, task_id, state):
        """Waits for the task's end, which has to be this one; the task in full."""
        ended = self.client.wait(task_id, PATIENCE)
        task = self.full(task_id)
        assert ended == state and task["state"] == state, "%s was expected of %s" % (state, shown(task))
        assert len(task["logs"]) == 1, shown(task)
        return task

    def run(self, state, *executors, **rest):
        return self.end(self.create(*executors, **rest), state)

    def until(self, task_id, state):
        poll(lambda: self.state(task_id), lambda seen: seen == state, PATIENCE, "%s of %s" % (state, task_id))

    def cancelled(self, task_id, seconds):
        """Cancels; CANCELED must come this soon, and then nothing of the task may run any more."""
        self.client.cancel(task_id)
        # Not the client's own wait: py-tes takes CANCELING for an end.
        poll(lambda: get_plainly(self.client.url, task_id)["state"], lambda seen: seen in ENDS, seconds, "CANCELED")
        running = self.world["containers"](task_id, all=False)
        task = self.full(task_id)
        assert task["state"] == "CANCELED", shown(task)
        assert not running, "CANCELED was said while %s ran" % running
        assert task["logs"] and task["logs"][0].get("system_logs"), shown(task)
        # Once more is harmless.
        self.client.cancel(task_id)
        assert self.state(task_id) == "CANCELED"
        return task


def sh(script, image=BUSYBOX, **rest):
    return dict(image=image, command=["sh", "-c", script], **rest)


def codes(task):
    return [log["exit_code"] for log in task["logs"][0]["logs"]]


def outs(task):
    return [log.get("stdout", "") for log in task["logs"][0]["logs"]]


def delivered(task):
    return sorted((log["path"], log["url"], str(log["size_bytes"])) for log in task["logs"][0]["outputs"])


def says(task, *words):
    """The last system line explains the failure, in these words."""
    last = task["logs"][0]["system_logs"][-1]
    for word in words:
        assert word in last, "the last system line has no `%s`: %s" % (word, shown(task))


def shown(task):
    return json.dumps(task, indent=1)


def equal(found, wanted, task):
    assert found == wanted, "%r instead of %r in %s" % (found, wanted, shown(task))


@case
def rule_15_4_hello_world(story):
    task = story.run("COMPLETE", dict(image=BUSYBOX, command=["echo", "hello"], env={"A": "b"}))
    equal(codes(task), [0], task)
    equal(outs(task), ["hello\n"], task)
    assert task["logs"][0].get("start_time") and task["logs"][0].get("end_time"), shown(task)


@case
def rule_11_3_and_12_1_two_executors_over_a_shared_volume(story):
    task = story.run("COMPLETE", sh("echo one > /shared/a"), sh("cat /shared/a; echo two"), volumes=["/shared"])
    equal(codes(task), [0, 0], task)
    equal(outs(task), ["", "one\ntwo\n"], task)


@case
def rule_4_10_and_4_11_content_longer_than_an_argument(story):
    # One argument or variable ends at 128 KiB on Linux.
    content = "0123456789abcde\n" * 20_000
    script = """
        wc -c < /in/long
        tr '\\0' '\\n' < /proc/1/environ | grep -c 9abcde
        tr '\\0' '\\n' < /proc/1/cmdline | grep -c 9abcde
        true
    """
    task = story.run("COMPLETE", sh(script), inputs=[dict(content=content, path="/in/long")])
    equal(outs(task), ["%d\n0\n0\n" % len(content)], task)


@case
def rule_10_1_and_15_6_file_in_file_out(story):
    source = story.write("in.txt", "some text\n")
    task = story.run(
        "COMPLETE",
        sh("tr a-z A-Z < /data/in/a.txt > /data/out/b.txt; cat /data/in/given >> /data/out/b.txt"),
        inputs=[dict(url=source, path="/data/in/a.txt"), dict(content="given\n", path="/data/in/given")],
        outputs=[dict(url=story.url("out.txt"), path="/data/out/b.txt")],
    )
    equal(story.read("out.txt"), "SOME TEXT\ngiven\n", task)
    equal(story.read("in.txt"), "some text\n", task)
    equal(delivered(task), [("/data/out/b.txt", story.url("out.txt"), "16")], task)


@case
def rule_9_5_and_10_6_directory_in_directory_out(story):
    story.write("tree/a", "a\n")
    story.write("tree/below/b", "b\n")
    task = story.run(
        "COMPLETE",
        sh("cp -r /in/tree/. /out/; mkdir /out/empty; echo c > /out/below/c"),
        inputs=[dict(url=story.url("tree"), path="/in/tree", type="DIRECTORY")],
        outputs=[dict(url=story.url("copy"), path="/out", type="DIRECTORY")],
    )
    found = {name: story.read("copy/" + name) for name in ("a", "below/b", "below/c")}
    equal(found, {"a": "a\n", "below/b": "b\n", "below/c": "c\n"}, task)
    urls = [entry[1] for entry in delivered(task)]
    equal(urls, [story.url("copy/" + name) for name in ("a", "below/b", "below/c")], task)


@case
def rule_12_9_and_15_4_stdin_stdout_and_stderr_files(story):
    task = story.run(
        "COMPLETE",
        sh("cat; echo problem >&2", stdin="/s/in", stdout="/s/out", stderr="/s/err"),
        inputs=[dict(content="line\n", path="/s/in")],
        outputs=[dict(url=story.url("out"), path="/s/out"), dict(url=story.url("err"), path="/s/err")],
    )
    equal((story.read("out"), story.read("err")), ("line\n", "problem\n"), task)
    # The log has them as well.
    equal(outs(task), ["line\n"], task)
    equal(task["logs"][0]["logs"][0]["stderr"], "problem\n", task)


@case
def rule_12_3_ignore_error_goes_on(story):
    task = story.run("COMPLETE", sh("exit 3", ignore_error=True), sh("exit 4", ignore_error=True), sh("echo on"))
    equal(codes(task), [3, 4, 0], task)


@case
def rule_10_3_and_12_1_failing_executor_ends_the_task(story):
    task = story.run(
        "EXECUTOR_ERROR",
        sh("echo kept > /o/kept; echo why >&2; exit 3"),
        sh("echo never"),
        volumes=["/o"],
        outputs=[dict(url=story.url("kept"), path="/o/kept")],
    )
    equal(codes(task), [3], task)
    equal(task["logs"][0]["logs"][0]["stderr"], "why\n", task)
    # What exists is delivered all the same: engines read their own files from there.
    equal(story.read("kept"), "kept\n", task)


@case
def rule_12_4_command_that_does_not_exist(story):
    task = story.run("EXECUTOR_ERROR", dict(image=BUSYBOX, command=["/bin/no-such-program"]))
    equal(codes(task), [127], task)


@case
def rule_12_7_and_15_5_missing_image(story):
    image = story.world["registry"] + "/nosuch:1"
    task = story.run("SYSTEM_ERROR", dict(image=image, command=["true"]))
    equal(codes(task), [], task)
    says(task, image)


@case
def image_that_has_to_be_pulled(story):
    task = story.run("COMPLETE", dict(image=story.world["pulled"], command=["echo", "pulled"]))
    equal(outs(task), ["pulled\n"], task)


@case
def rule_10_2_and_15_5_missing_output(story):
    url = story.url("missing")
    task = story.run("SYSTEM_ERROR", sh("true"), outputs=[dict(url=url, path="/o/missing")])
    equal(codes(task), [0], task)
    says(task, "/o/missing", url)


@case
def rule_12_7_and_15_5_missing_input(story):
    url = story.url("missing")
    task = story.run("SYSTEM_ERROR", sh("true"), inputs=[dict(url=url, path="/i/missing")])
    equal(codes(task), [], task)
    says(task, url)


@case
def rule_11_2_paths_inside_opt_and_root_of_the_image(story):
    source = story.write("in.txt", "brought\n")
    script = """
        set -e
        cat /opt/tool/data.txt /root/notes.txt /opt/tool/in.txt /root/in.txt > /opt/tool/all.txt
        cp /opt/tool/all.txt /root/all.txt
        ls /bin/busybox >/dev/null
    """
    task = story.run(
        "COMPLETE",
        sh(script),
        inputs=[dict(url=source, path="/opt/tool/in.txt"), dict(url=source, path="/root/in.txt")],
        outputs=[
            dict(url=story.url("opt.txt"), path="/opt/tool/all.txt"),
            dict(url=story.url("root.txt"), path="/root/all.txt"),
        ],
    )
    wanted = "data of the image\nnotes of the image\nbrought\nbrought\n"
    equal((story.read("opt.txt"), story.read("root.txt")), (wanted, wanted), task)


@case
def rule_12_2_image_from_scratch(story):
    image = "tessera-test/scratch:1"
    task = story.run(
        "COMPLETE",
        dict(image=image, command=["/tool", "copy", "/in/a", "/out/b"]),
        dict(image=image, command=["/tool", "cat", "/out/b"]),
        volumes=["/out"],
        inputs=[dict(content="no shell\n", path="/in/a")],
        outputs=[dict(url=story.url("b"), path="/out/b")],
    )
    equal(outs(task)[1], "no shell\n", task)
    equal(story.read("b"), "no shell\n", task)


@case
def rule_11_4_image_of_another_user(story):
    task = story.run(
        "COMPLETE",
        sh("id -u; cat /in/a > /out/b; echo more > /v/c; touch here", image="tessera-test/user:1", workdir="/work"),
        volumes=["/v"],
        inputs=[dict(content="mine\n", path="/in/a")],
        outputs=[dict(url=story.url("b"), path="/out/b"), dict(url=story.url("here"), path="/work/here")],
    )
    equal(outs(task), ["12345\n"], task)
    equal((story.read("b"), story.read("here")), ("mine\n", ""), task)


@case
def rule_14_6_cancel_while_queued(story):
    # The server takes no more jobs at once than there are of these.
    running = [story.create(sh("sleep 600")) for _ in range(story.world["jobs"])]
    for one in running:
        story.until(one, "RUNNING")
    waiting = story.create(sh("echo never"))
    equal(story.state(waiting), "QUEUED", story.full(waiting))
    task = story.cancelled(waiting, 5)
    equal(codes(task), [], task)
    equal(story.world["containers"](waiting, all=True), [], task)
    for one in running:
        story.cancelled(one, 15)


@case
def rule_14_6_cancel_while_inputs_come(story):
    held = Held(story.world["held"])
    task_id = story.create(sh("echo never"), inputs=[dict(url="http://%s/big" % held.address, path="/in/big")])
    assert held.asked(PATIENCE), "nobody asked for the input: %s" % shown(story.full(task_id))
    # The transfer may begin a moment before the hand-over is written down.
    story.until(task_id, "INITIALIZING")
    task = story.cancelled(task_id, 15)
    equal(codes(task), [], task)
    assert held.gone(15), "the transfer went on"
    held.close()


@case
def rule_14_6_cancel_while_the_image_comes(story):
    held = Held()
    task_id = story.create(dict(image=held.address + "/held:1", command=["true"]))
    assert held.asked(PATIENCE), "nobody asked for the image: %s" % shown(story.full(task_id))
    # The transfer may begin a moment before the hand-over is written down.
    story.until(task_id, "INITIALIZING")
    task = story.cancelled(task_id, 15)
    equal(codes(task), [], task)
    held.close()


@case
def rule_14_6_cancel_while_running(story):
    task_id = story.create(sh("echo started; sleep 600"))
    story.until(task_id, "RUNNING")
    story.cancelled(task_id, 15)


@case
def rule_14_6_cancel_of_a_command_that_ignores_sigterm(story):
    task_id = story.create(sh("trap '' TERM; while :; do sleep 1; done"))
    story.until(task_id, "RUNNING")
    story.cancelled(task_id, 20)


@case
def rule_3_5_list_and_service_info(story):
    task_id = story.create(sh("true"))
    assert task_id in story.client.list(), "%s is not in the list" % task_id
    story.end(task_id, "COMPLETE")
    if hasattr(story.client, "service_info"):
        assert story.client.service_info()["name"], "no name"


@case_of("curl")
def rule_16_3_storage_is_what_works(story):
    storage = ask_plainly(story.client.url, "/service-info")["storage"]
    source = story.write("in.txt", "there\n")
    assert any(source.startswith(prefix) for prefix in storage), "%s is below none of %s" % (source, storage)
    for prefix in storage:
        # The others need servers of their own, and suites of their own show them.
        if not prefix.startswith("file:"):
            continue
        url = "%s/%s/in.txt" % (prefix.rstrip("/"), os.path.relpath(story.folder, story.world["files"]))
        task = story.run("COMPLETE", sh("cat /in/a"), inputs=[dict(url=url, path="/in/a")])
        equal(outs(task), ["there\n"], task)


@case_of("cli")
def run_follows_the_task(story):
    source = story.write("in.txt", "words\n")
    words = ["run", BUSYBOX, "-i", "/in/a=" + source, "-o", "/out/b=" + story.url("b"), "-e", "GREETING=hello"]
    code, out, err = story.client.run(*words, "--", "sh", "-c", 'echo "$GREETING"; cp /in/a /out/b')
    assert (code, out) == (0, "hello\n"), (code, out, err)
    assert story.read("b") == "words\n"
    code, out, err = story.client.run("run", BUSYBOX, "--", "sh", "-c", "exit 42")
    assert code == 42, (code, out, err)
    code, out, err = story.client.run("run", story.world["registry"] + "/nosuch:1", "--", "true")
    assert code == 5 and "nosuch" in err, (code, out, err)
    code, out, err = story.client.run("run", BUSYBOX, "--detach", "--", "true")
    assert code == 0, (code, out, err)
    story.end(out.strip(), "COMPLETE")


# What a client says in its own way at all: files, logs, ends of each kind, cancel, lists.
CORE = (
    rule_10_1_and_15_6_file_in_file_out,
    rule_12_3_ignore_error_goes_on,
    rule_10_3_and_12_1_failing_executor_ends_the_task,
    rule_12_7_and_15_5_missing_input,
    rule_14_6_cancel_while_running,
    rule_3_5_list_and_service_info,
)
