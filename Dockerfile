# Two static programs and nothing else. Built from a folder that holds them: see tests/images/server, which makes it,
# builds this, and tries the result.
#
# Tasks on the engine of the host need its socket, and the data folder under the same name inside and outside:
#   docker run -v /var/run/docker.sock:/var/run/docker.sock -v /srv/tessera:/srv/tessera -p 127.0.0.1:8000:8000 \
#       tessera serve --listen 0.0.0.0:8000 --data /srv/tessera --config /srv/tessera/tessera.toml
FROM scratch
COPY tessera tessera-runtime /
EXPOSE 8000
ENTRYPOINT ["/tessera"]
# Refuses to start until the configuration says who may call.
CMD ["serve", "--listen", "0.0.0.0:8000", "--data", "/data"]
