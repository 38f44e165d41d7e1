# Starts and ends the services of the rig; `dir` is the scratch directory, `tools` where the programs lie.
# shellcheck shell=bash disable=SC2154

services=(s3 s3-read-only azure gcs ftp ftps sftp webdav webdavs web)
# Seconds until a service must answer; each is ready in three on an idle machine.
patience=60

# The secrets of this rig guard nothing but what the tests put there.
user=rig
password='pa:ss w%rd'
s3_key=rig
s3_secret=rigsecret
azure_account=tes
azure_key=ZW11bGF0b3I=
bucket=data
public_bucket=public

all_alive() {
    local name
    [ -f "$dir/rig.json" ] || return 1
    for name in "${services[@]}"; do alive "$dir" "$name" || return 1; done
}

stop_all() {
    local name
    # All are asked at once: some take seconds to end.
    for name in "${services[@]}"; do
        if alive "$dir" "$name"; then kill "$(cut -d ' ' -f 1 "$dir/$name.pid")" 2>/dev/null || true; fi
    done
    for name in "${services[@]}"; do stop "$dir" "$name" 5; done
    rm -rf "$dir/files" "$dir/ssh" "$dir"/*.pem "$dir/nginx" "$dir/rig.json"
}

start_all() {
    local ports
    rm -rf "$dir/files"
    mkdir -p "$dir"/files/{s3,ftp,ftps,sftp,dav,web/{private,upload,upload-private},drs} "$dir"/nginx
    "$tools/python/bin/python" "$parts/certificates.py" "$dir"
    # One for each service; nginx has one for http and one for https.
    read -ra ports <<<"$(free_ports $((${#services[@]} + 1)))"
    start_s3 "${ports[0]}" "${ports[1]}"
    start_azure "${ports[2]}"
    start_gcs "${ports[3]}"
    start_ftp ftp "${ports[4]}"
    start_ftp ftps "${ports[5]}" "$dir/server.pem"
    start_sftp "${ports[6]}"
    start_dav webdav "${ports[7]}"
    start_dav webdavs "${ports[8]}"
    start_web "${ports[9]}" "${ports[10]}"
    describe "${ports[@]}"
}

# COUNT: that many ports nobody listens on, all different.
free_ports() {
    python3 -c '
import socket, sys
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(one.getsockname()[1] for one in held))' "$1"
}

# PORT READ_ONLY_PORT: two doors to the same buckets.
start_s3() {
    local gateway
    gateway=$(go_program versitygw)
    export ROOT_ACCESS_KEY=$s3_key ROOT_SECRET_KEY=$s3_secret
    start "$dir" s3 "$gateway" -p "127.0.0.1:$1" -r us-east-1 --health /healthz -q posix "$dir/files/s3"
    start "$dir" s3-read-only "$gateway" -p "127.0.0.1:$2" -r us-east-1 --health /healthz -q --readonly \
        posix "$dir/files/s3"
    await "$dir" s3 $patience curl -fs "http://127.0.0.1:$1/healthz"
    await "$dir" s3-read-only $patience curl -fs "http://127.0.0.1:$2/healthz"
    must s3 signed -X PUT "http://127.0.0.1:$1/$bucket"
    must s3 signed -X PUT "http://127.0.0.1:$1/$public_bucket"
    must s3 signed -X PUT "http://127.0.0.1:$1/$public_bucket?policy=" --data-binary '{"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject", "s3:ListBucket"],
         "Resource": ["arn:aws:s3:::'$public_bucket'", "arn:aws:s3:::'$public_bucket'/*"]}]}'
}

signed() {
    curl --fail-with-body -sS --aws-sigv4 aws:amz:us-east-1:s3 --user "$s3_key:$s3_secret" \
        -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD' "$@"
}

# PORT. It forgets everything when it ends; the API version of newer clients is not checked.
start_azure() {
    AZURITE_ACCOUNTS=$azure_account:$azure_key start "$dir" azure "$tools/azurite/node_modules/.bin/azurite-blob" \
        --silent --inMemoryPersistence --blobHost 127.0.0.1 --blobPort "$1" --skipApiVersionCheck --disableTelemetry
    await "$dir" azure $patience curl -s -o /dev/null "http://127.0.0.1:$1/"
    must azure python3 "$parts/azure_container.py" "http://127.0.0.1:$1/$azure_account" $azure_account $azure_key $bucket
}

# PORT
start_gcs() {
    start "$dir" gcs "$(go_program fake-gcs-server)" -scheme http -host 127.0.0.1 -port "$1" -backend memory \
        -public-host "127.0.0.1:$1" -external-url "http://127.0.0.1:$1" -log-level warn
    await "$dir" gcs $patience curl -fs "http://127.0.0.1:$1/_internal/healthcheck"
    must gcs curl -fsS -X POST "http://127.0.0.1:$1/storage/v1/b?project=rig" -H 'content-type: application/json' \
        -d "{\"name\": \"$bucket\"}"
}

# NAME PORT [CERTIFICATE]
start_ftp() {
    start "$dir" "$1" "$tools/python/bin/python" "$parts/ftp.py" "$2" "$dir/files/$1" "$user" "$password" "${@:3}"
    local secured=()
    [ "$1" = ftp ] || secured=(--ssl-reqd --cacert "$dir/ca.pem")
    await "$dir" "$1" $patience curl -fsS "${secured[@]}" --user "$user:$password" "ftp://127.0.0.1:$2/"
}

# PORT. Keys are made anew each time, so that none is worth stealing.
start_sftp() {
    local keys=$dir/ssh account
    account=$(id -un)
    rm -rf "$keys"
    mkdir -m 700 "$keys"
    ssh-keygen -q -t ed25519 -N '' -C rig -f "$keys/host"
    ssh-keygen -q -t ed25519 -N '' -C rig -f "$keys/id"
    cp "$keys/id.pub" "$keys/authorized_keys"
    echo "[127.0.0.1]:$1 $(cut -d ' ' -f 1,2 "$keys/host.pub")" >"$keys/known_hosts"
    # Where sshd goes when it gives up its rights; a service of the machine would have made it.
    [ "$(id -u)" != 0 ] || install -d /run/sshd
    cat >"$keys/sshd_config" <<CONF
Port $1
ListenAddress 127.0.0.1
HostKey $keys/host
PidFile none
AuthorizedKeysFile $keys/authorized_keys
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
Subsystem sftp internal-sftp
MaxStartups 100
MaxSessions 100
CONF
    start "$dir" sftp /usr/sbin/sshd -D -e -f "$keys/sshd_config"
    await "$dir" sftp $patience sftp -q -b /dev/null -F /dev/null -P "$1" -i "$keys/id" -o BatchMode=yes \
        -o "UserKnownHostsFile=\"$keys/known_hosts\"" "$account@127.0.0.1"
}

# NAME PORT: both show the same files.
start_dav() {
    local secured=()
    {
        echo "host: 127.0.0.1"
        echo "port: $2"
        echo "server: cheroot"
        echo "provider_mapping: {\"/\": \"$dir/files/dav\"}"
        echo "simple_dc: {user_mapping: {\"*\": {\"$user\": {password: \"$password\"}}}}"
        echo "http_authenticator: {accept_basic: true, accept_digest: false, default_to_digest: false}"
        if [ "$1" = webdavs ]; then
            echo "ssl_adapter: builtin"
            echo "ssl_certificate: \"$dir/cert.pem\""
            echo "ssl_private_key: \"$dir/key.pem\""
        fi
    } >"$dir/$1.yaml"
    start "$dir" "$1" "$tools/python/bin/wsgidav" -c "$dir/$1.yaml"
    local scheme=http
    [ "$1" = webdav ] || { scheme=https && secured=(--cacert "$dir/ca.pem"); }
    await "$dir" "$1" $patience curl -fsS -X PROPFIND -H 'Depth: 0' "${secured[@]}" --user "$user:$password" \
        "$scheme://127.0.0.1:$2/"
}

# HTTP_PORT HTTPS_PORT
start_web() {
    python3 -c 'import base64, hashlib, sys
print(sys.argv[1] + ":{SHA}" + base64.b64encode(hashlib.sha1(sys.argv[2].encode()).digest()).decode())' \
        "$user" "$password" >"$dir/nginx/users"
    sed -e "s|@dir@|$dir|g" -e "s|@http@|$1|g" -e "s|@https@|$2|g" "$parts/nginx.conf" >"$dir/nginx/nginx.conf"
    # Its children would otherwise be somebody who may not look into the scratch directory.
    [ "$(id -u)" != 0 ] || echo "user root;" >>"$dir/nginx/nginx.conf"
    start "$dir" web /usr/sbin/nginx -p "$dir/nginx" -c "$dir/nginx/nginx.conf" -e stderr
    await "$dir" web $patience curl -fsS --cacert "$dir/ca.pem" "https://127.0.0.1:$2/healthz"
}

# SERVICE ARGV...: what has to succeed once the service answers.
must() {
    local name=$1
    shift
    if ! "$@" >"$dir/$name.setup.log" 2>&1; then
        cat "$dir/$name.setup.log" >&2
        die "$name answers and could not be set up; its own log is $dir/$name.log"
    fi
}

# PORTS...: rig.json; complete or not there.
describe() {
    local keys=$dir/ssh
    cat >"$dir/rig.json.part" <<JSON
{
  "ca": "$dir/ca.pem",
  "s3": {
    "endpoint": "http://127.0.0.1:$1", "read_only_endpoint": "http://127.0.0.1:$2", "region": "us-east-1",
    "access_key_id": "$s3_key", "secret_access_key": "$s3_secret",
    "bucket": "$bucket", "public_bucket": "$public_bucket", "folder": "$dir/files/s3"
  },
  "azure": {
    "endpoint": "http://127.0.0.1:$3/$azure_account", "account": "$azure_account", "key": "$azure_key",
    "container": "$bucket"
  },
  "gcs": {"endpoint": "http://127.0.0.1:$4", "bucket": "$bucket"},
  "ftp": {"address": "127.0.0.1:$5", "user": "$user", "password": "$password", "folder": "$dir/files/ftp"},
  "ftps": {"address": "127.0.0.1:$6", "user": "$user", "password": "$password", "folder": "$dir/files/ftps"},
  "sftp": {
    "address": "127.0.0.1:$7", "user": "$(id -un)", "private_key": "$keys/id", "known_hosts": "$keys/known_hosts",
    "folder": "$dir/files/sftp"
  },
  "webdav": {"url": "http://127.0.0.1:$8/", "user": "$user", "password": "$password", "folder": "$dir/files/dav"},
  "webdavs": {"url": "https://127.0.0.1:$9/", "user": "$user", "password": "$password", "folder": "$dir/files/dav"},
  "web": {
    "http": "http://127.0.0.1:${10}/", "https": "https://127.0.0.1:${11}/",
    "other_http": "http://127.0.0.2:${10}/", "other_https": "https://127.0.0.2:${11}/",
    "user": "$user", "password": "$password", "folder": "$dir/files/web"
  },
  "drs": {"http": "127.0.0.1:${10}", "https": "127.0.0.1:${11}", "folder": "$dir/files/drs"}
}
JSON
    mv "$dir/rig.json.part" "$dir/rig.json"
}
