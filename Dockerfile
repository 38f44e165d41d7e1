# Two static programs and nothing else. Built from a folder that holds them, by architecture: see tests/images/server,
# which makes it, builds this, and tries the result. BuildKit knows TARGETARCH from --platform.
#
# On Kubernetes: charts/tessera. On one host, tasks on its engine need the socket, and the data folder under the same
# name inside and outside; whoever may use that socket is root on the host in any case:
#   docker run --user 0 -v /var/run/docker.sock:/var/run/docker.sock -v /srv/tessera:/srv/tessera \
#       -p 127.0.0.1:8000:8000 tessera serve --listen 0.0.0.0:8000 --data /srv/tessera --config /srv/tessera/tessera.toml
FROM scratch
ARG TARGETARCH=amd64
COPY $TARGETARCH/ /
# Empty, and the server's own, so that a new volume at this place is, too.
COPY --chown=65532:65532 data /data
EXPOSE 8000
# A number, so that `runAsNonRoot` can tell.
USER 65532:65532
ENTRYPOINT ["/tessera"]
# Refuses to start until the configuration says who may call.
CMD ["serve", "--listen", "0.0.0.0:8000", "--data", "/data"]
