{{/* Names, labels, images. */}}

{{- define "tessera.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{/* Short enough for the endings that follow it. */}}
{{- define "tessera.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 48 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 48 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 48 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "tessera.selector" -}}
app.kubernetes.io/name: {{ include "tessera.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "tessera.labels" -}}
{{ include "tessera.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: tessera
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Given (list ROOT {annotations…}): the `annotations:` of an object, or nothing. */}}
{{- define "tessera.annotations" -}}
{{- $all := merge (dict) (index . 1 | default dict) ((index . 0).Values.commonAnnotations | default dict) -}}
{{- with $all }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "tessera.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "tessera.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "tessera.fullname" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end }}

{{/* Of tasks: their namespace, the account of their pods (or nothing), and the object that owns their Jobs. */}}
{{- define "tessera.tasks.namespace" -}}
{{- .Values.tasks.namespace | default .Release.Namespace -}}
{{- end }}

{{- define "tessera.tasks.serviceAccount" -}}
{{- if .Values.tasks.serviceAccount.name -}}
{{ .Values.tasks.serviceAccount.name }}
{{- else if .Values.tasks.serviceAccount.create -}}
{{ include "tessera.fullname" . }}-tasks
{{- end -}}
{{- end }}

{{- define "tessera.tasks.owner" -}}
{{ include "tessera.fullname" . }}-tasks
{{- end }}

{{/* The Secret of the token that the chart adds, or nothing. */}}
{{- define "tessera.token.secret" -}}
{{- if .Values.config.auth.allow_anonymous -}}
{{- else if .Values.token.existingSecret -}}
{{ .Values.token.existingSecret }}
{{- else if .Values.token.create -}}
{{ include "tessera.fullname" . }}-token
{{- end -}}
{{- end }}

{{/* Whether the store is one that several servers share. Nothing, or a word. */}}
{{- define "tessera.shared" -}}
{{- $store := .Values.config.store | default dict -}}
{{- if or $store.url $store.url_file -}}
shared
{{- end -}}
{{- end }}

{{/* The Service below which each of several servers has a name. */}}
{{- define "tessera.servers" -}}
{{ include "tessera.fullname" . }}-servers
{{- end }}

{{/* What a volume for a server is like. */}}
{{- define "tessera.volume" -}}
accessModes:
  {{- toYaml .Values.persistence.accessModes | nindent 2 }}
{{- with .Values.persistence.storageClass }}
storageClassName: {{ ternary "" . (eq . "-") | quote }}
{{- end }}
resources:
  requests:
    storage: {{ .Values.persistence.size }}
{{- end }}

{{/* What cannot be right with several servers. */}}
{{- define "tessera.several.refuse" -}}
{{- $replica := .Values.config.replica | default dict -}}
{{- if include "tessera.shared" . -}}
{{- if or $replica.name $replica.address -}}
{{- fail "config.replica.name and config.replica.address are said by the chart, for each server: leave them out" -}}
{{- end -}}
{{- if .Values.persistence.existingClaim -}}
{{- fail "persistence.existingClaim is for one server on SQLite; servers on PostgreSQL have a volume each, made by the chart: leave it out" -}}
{{- end -}}
{{- else if gt (int .Values.replicas) 1 -}}
{{- fail (printf "replicas: %d servers need a store that they share; name a PostgreSQL database with config.store.url_file (docs/kubernetes.md, Several servers)" (int .Values.replicas)) -}}
{{- end -}}
{{- end }}
