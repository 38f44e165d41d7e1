{{/* The pod of a server: alone in a Deployment, or one of several in a StatefulSet. */}}
{{- define "tessera.pod" -}}
metadata:
  labels:
    {{- include "tessera.labels" . | nindent 4 }}
    app.kubernetes.io/component: server
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    # Read at the start only: a change starts the server anew.
    checksum/config: {{ include (print $.Template.BasePath "/configmap.yaml") . | sha256sum }}
    checksum/secrets: {{ toJson .Values.secrets | sha256sum }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "tessera.serviceAccount" . }}
  automountServiceAccountToken: true
  # Or a Service called tessera would put variables into it that look like settings.
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  securityContext:
    {{- toYaml .Values.podSecurityContext | nindent 4 }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with include "tessera.affinity" . | fromYaml }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: tessera
      image: {{ include "tessera.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [serve, --config, /etc/tessera/tessera.toml]
      securityContext:
        {{- toYaml .Values.securityContext | nindent 8 }}
      {{- if or .Values.extraEnv (include "tessera.shared" .) }}
      env:
        {{- if include "tessera.shared" . }}
        # The name stays with its volume, and leads to this pod only, whatever address it has.
        - name: TESSERA_REPLICA__NAME
          valueFrom: {fieldRef: {fieldPath: metadata.name}}
        - name: TESSERA_REPLICA__ADDRESS
          value: http://$(TESSERA_REPLICA__NAME).{{ include "tessera.servers" . }}.{{ .Release.Namespace }}.svc:8000
        {{- end }}
        {{- with .Values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
      {{- with .Values.extraEnvFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - name: http
          containerPort: 8000
          protocol: TCP
      {{- range $name := list "startup" "liveness" "readiness" }}
      {{- with index $.Values.probes $name }}
      {{ $name }}Probe:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- end }}
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        - name: data
          mountPath: /data
        - name: tmp
          mountPath: /tmp
        - name: config
          mountPath: /etc/tessera
          readOnly: true
        {{- if or .Values.secrets .Values.existingSecrets }}
        - name: secrets
          mountPath: /run/secrets/tessera
          readOnly: true
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    {{- if not .Values.persistence.enabled }}
    - name: data
      emptyDir: {}
    {{- else if not (include "tessera.shared" .) }}
    - name: data
      persistentVolumeClaim:
        claimName: {{ .Values.persistence.existingClaim | default (include "tessera.fullname" .) }}
    {{- end }}
    - name: tmp
      emptyDir: {}
    - name: config
      projected:
        # For the group of the pod, and nobody else.
        defaultMode: 0440
        sources:
          - configMap:
              name: {{ include "tessera.fullname" . }}
          {{- with include "tessera.token.secret" . }}
          - secret:
              name: {{ . }}
              items: [{key: {{ $.Values.token.key }}, path: token}]
          {{- end }}
    {{- if or .Values.secrets .Values.existingSecrets }}
    - name: secrets
      projected:
        defaultMode: 0440
        sources:
          {{- if .Values.secrets }}
          - secret:
              name: {{ include "tessera.fullname" . }}-secrets
          {{- end }}
          {{- range .Values.existingSecrets }}
          - secret:
              name: {{ . }}
          {{- end }}
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{/* Where it may run. Several servers keep apart, unless `affinity` says itself how pods stand to each other. */}}
{{- define "tessera.affinity" -}}
{{- $affinity := deepCopy .Values.affinity -}}
{{- if and (include "tessera.shared" .) (ne .Values.apart "no") (not (hasKey $affinity "podAntiAffinity")) -}}
{{- $labels := merge (include "tessera.selector" . | fromYaml) (dict "app.kubernetes.io/component" "server") -}}
{{- $other := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" (dict "matchLabels" $labels) -}}
{{- $rule := dict "preferredDuringSchedulingIgnoredDuringExecution" (list (dict "weight" 100 "podAffinityTerm" $other)) -}}
{{- if eq .Values.apart "must" -}}
{{- $rule = dict "requiredDuringSchedulingIgnoredDuringExecution" (list $other) -}}
{{- end -}}
{{- $_ := set $affinity "podAntiAffinity" $rule -}}
{{- end -}}
{{- toYaml $affinity -}}
{{- end }}
