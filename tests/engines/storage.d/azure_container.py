"""Makes a container: azure_container.py ENDPOINT ACCOUNT KEY CONTAINER. Signed with the account's key (SharedKey)."""

import base64
import hashlib
import hmac
import sys
import urllib.parse
import urllib.request
from email.utils import formatdate

endpoint, account, key, container = sys.argv[1:]
path = urllib.parse.urlparse(endpoint).path
date, version = formatdate(usegmt=True), "2021-12-02"
to_sign = "PUT" + "\n" * 12 + f"x-ms-date:{date}\nx-ms-version:{version}\n/{account}{path}/{container}\nrestype:container"
digest = hmac.new(base64.b64decode(key), to_sign.encode(), hashlib.sha256).digest()
headers = {
    "x-ms-date": date,
    "x-ms-version": version,
    "content-length": "0",
    "authorization": f"SharedKey {account}:{base64.b64encode(digest).decode()}",
}
request = urllib.request.Request(f"{endpoint}/{container}?restype=container", method="PUT", headers=headers)
with urllib.request.urlopen(request, timeout=20) as answer:
    print(answer.status)
