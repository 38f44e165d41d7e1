{{/*
tessera.toml, made of `.Values.config`. Helm's own `toToml` writes whole numbers as floating-point ones, which the
server refuses; JSON's scalars are TOML's as well.
*/}}
{{- define "tessera.toml" -}}
{{- include "tessera.config.refuse" . -}}
{{- $config := deepCopy .Values.config -}}
{{- $_ := set $config "server" (merge (dict "listen" "0.0.0.0:8000" "data_dir" "/data") ($config.server | default dict)) -}}
{{- if include "tessera.token.secret" . -}}
{{- $auth := $config.auth | default dict -}}
{{- $token := dict "name" .Values.token.owner "token_file" "/etc/tessera/token" -}}
{{- $_ := set $auth "tokens" (prepend ($auth.tokens | default list) $token) -}}
{{- $_ := set $config "auth" $auth -}}
{{- end -}}
{{- range $name, $backend := $config.backends -}}
{{- if and $backend (eq (toString $backend.kind) "kubernetes") -}}
{{- $known := include "tessera.config.backend" $ | fromYaml -}}
{{- if $backend.kubeconfig -}}
{{- /* Another cluster has none of the chart's objects. */ -}}
{{- $known = pick $known "image" "image_pull_policy" -}}
{{- end -}}
{{- if eq (toString $backend.image_pull_policy) "IfNotPresent" -}}
{{- /* The default, so the image's own policy counts. */ -}}
{{- $backend = omit $backend "image_pull_policy" -}}
{{- end -}}
{{- $_ := set $config.backends $name (merge $backend $known) -}}
{{- end -}}
{{- end -}}
{{- include "tessera.config.table" (dict "path" "" "table" $config) -}}
{{- end }}

{{/* What the chart knows of a Kubernetes backend. */}}
{{- define "tessera.config.backend" -}}
namespace: {{ include "tessera.tasks.namespace" . }}
image: {{ include "tessera.image" . }}
image_pull_policy: {{ .Values.image.pullPolicy }}
{{- with .Values.imagePullSecrets }}
image_pull_secrets:
  {{- range . }}
  - {{ .name }}
  {{- end }}
{{- end }}
{{- with include "tessera.tasks.serviceAccount" . }}
service_account: {{ . }}
{{- end }}
server_url: http://{{ include "tessera.fullname" . }}.{{ .Release.Namespace }}.svc:{{ .Values.service.port }}
owner: {{ include "tessera.tasks.owner" . }}
{{- end }}

{{/* A table and those below it: first its own keys, then each table under its header. */}}
{{- define "tessera.config.table" -}}
{{- $path := .path -}}
{{- range $key, $value := .table }}
{{- if not (or (kindIs "invalid" $value) (kindIs "map" $value)) }}
{{ include "tessera.config.key" $key }} = {{ include "tessera.config.value" $value }}
{{- end }}
{{- end }}
{{- range $key, $value := .table }}
{{- if kindIs "map" $value }}
{{- $below := include "tessera.config.key" $key }}
{{- if $path }}{{ $below = printf "%s.%s" $path $below }}{{ end }}

[{{ $below }}]
{{- include "tessera.config.table" (dict "path" $below "table" $value) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "tessera.config.key" -}}
{{- if regexMatch "^[A-Za-z0-9_-]+$" . }}{{ . }}{{ else }}{{ toJson . }}{{ end -}}
{{- end }}

{{- define "tessera.config.value" -}}
{{- if kindIs "slice" . -}}
[{{ range $index, $value := . }}{{ if $index }}, {{ end }}{{ include "tessera.config.value" $value }}{{ end }}]
{{- else if kindIs "map" . -}}
{{- $parts := list -}}
{{- range $key, $value := . -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $parts = append $parts (printf "%s = %s" (include "tessera.config.key" $key) (include "tessera.config.value" $value)) -}}
{{- end -}}
{{- end -}}
{ {{ join ", " $parts }} }
{{- else -}}
{{ toJson . }}
{{- end -}}
{{- end }}

{{/* A ConfigMap is no place for secrets. */}}
{{- define "tessera.config.refuse" -}}
{{- $store := .Values.config.store | default dict -}}
{{- if regexMatch "(://[^/@]*:[^/@]*@|[?&]password=)" ($store.url | default "") -}}
{{- fail "config.store.url holds a password; put the URL into `secrets` and name its file: config.store.url_file: /run/secrets/tessera/NAME" -}}
{{- end -}}
{{- $rules := list "secret_access_key" "session_token" "account_key" "sas_token" "service_account" "token" "password" "private_key" -}}
{{- $storage := .Values.config.storage | default dict -}}
{{- $auth := .Values.config.auth | default dict -}}
{{- $events := .Values.config.events | default dict -}}
{{- $places := list
  (dict "at" "storage.rules" "list" $storage.rules "keys" $rules)
  (dict "at" "auth.tokens" "list" $auth.tokens "keys" (list "token"))
  (dict "at" "auth.users" "list" $auth.users "keys" (list "password"))
  (dict "at" "events.webhooks" "list" $events.webhooks "keys" (list "secret")) -}}
{{- range $place := $places -}}
{{- range $index, $entry := $place.list -}}
{{- range $key := $place.keys -}}
{{- if index $entry $key -}}
{{- fail (printf "config.%s[%d].%s is a secret; put it into `secrets` and name its file: %s_file: /run/secrets/tessera/NAME" $place.at $index $key $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}
