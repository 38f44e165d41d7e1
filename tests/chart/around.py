"""What stands around the chart: the cluster as helm and kubectl see it, a storage, and a door that holds tasks."""

import base64
import contextlib
import http.server
import json
import re
import socket
import subprocess
import threading
import time
from pathlib import Path

CHART = Path(__file__).resolve().parents[2] / "charts/tessera"


class Failed(Exception):
    """Something is not as it should be."""


def ensure(holds, sentence, *words):
    if not holds:
        raise Failed(sentence % words if words else sentence)


def run(*argv, text=None, check=True):
    done = subprocess.run([str(word) for word in argv], input=text, capture_output=True, text=True)
    if check and done.returncode != 0:
        raise Failed("%s: %s%s" % (" ".join(str(word) for word in argv), done.stdout[-2000:], done.stderr[-2000:]))
    return done.stdout


def helm(*words, check=True):
    return run("helm", *words, check=check)


def kubectl(*words, text=None, check=True):
    return run("kubectl", *words, text=text, check=check)


def objects(kinds, *words):
    return json.loads(kubectl("get", kinds, "-o", "json", *words))["items"]


def until(what, seconds, look):
    """The first true answer of `look`, which is asked again and again."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise Failed("not within %d s: %s" % (seconds, what))
        time.sleep(0.2)


def secret(namespace, name, key):
    found = json.loads(kubectl("-n", namespace, "get", "secret", name, "-o", "json"))
    return base64.b64decode(found["data"][key]).decode()


@contextlib.contextmanager
def forwarded(namespace, service):
    """The service at a port of this machine, for as long as its pod lives."""
    argv = ["kubectl", "-n", namespace, "port-forward", "--address", "127.0.0.1", "service/" + service, ":8000"]
    forward = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        line = forward.stdout.readline()
        port = re.search(r"127\.0\.0\.1:(\d+)", line)
        ensure(port, "kubectl port-forward: %s", line)
        # What it says of each connection would fill its pipe.
        threading.Thread(target=forward.stdout.read, daemon=True).start()
        yield "http://127.0.0.1:" + port.group(1)
    finally:
        forward.terminate()
        forward.wait()


class Door:
    """Tasks ask it whether they may go on; it is closed until it is opened."""

    def __init__(self, host):
        door = self
        self.open = threading.Event()
        self.asked = set()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                door.asked.add(self.path.strip("/"))
                self.send_response(200 if door.open.is_set() else 404)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer((host, 0), Handler)
        self.url = "http://%s:%d" % (host, self.server.server_port)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Storage:
    """An S3 server that pods reach, with one bucket."""

    key, secret, bucket = "chart", "chartsecret", "data"

    def __init__(self, program, host, folder):
        import boto3
        from botocore.config import Config

        (folder / "s3").mkdir()
        port = free_port(host)
        self.endpoint = "http://%s:%d" % (host, port)
        with open(folder / "s3.log", "w") as log:
            argv = [program, "-p", "%s:%d" % (host, port), "-r", "us-east-1", "--health", "/healthz", "-q", "posix", folder / "s3"]
            environment = {"ROOT_ACCESS_KEY": self.key, "ROOT_SECRET_KEY": self.secret}
            self.process = subprocess.Popen(argv, env=environment, stdout=log, stderr=log)
        # No proxy of this machine stands between us and a port of it.
        self.client = boto3.client(
            "s3", endpoint_url=self.endpoint, region_name="us-east-1", aws_access_key_id=self.key,
            aws_secret_access_key=self.secret, config=Config(proxies={}, retries={"max_attempts": 1}))
        until("the S3 server answers", 30, self.answers)
        self.client.create_bucket(Bucket=self.bucket)

    def answers(self):
        ensure(self.process.poll() is None, "the S3 server has ended by itself")
        try:
            self.client.list_buckets()
            return True
        except Exception:  # Whatever it is, it does not answer yet.
            return False

    def put(self, key, text):
        self.client.put_object(Bucket=self.bucket, Key=key, Body=text.encode())

    def get(self, key):
        return self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read().decode()

    def close(self):
        self.process.terminate()
        self.process.wait()


def free_port(host):
    with socket.socket() as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]
