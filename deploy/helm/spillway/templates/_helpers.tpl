{{- define "spillway.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* The name of a service has 63 characters at most, "-admin" at its end included. */ -}}
{{- define "spillway.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 57 | trimSuffix "-" }}
{{- else if contains (include "spillway.name" .) .Release.Name }}
{{- .Release.Name | trunc 57 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "spillway.name" .) | trunc 57 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "spillway.selectorLabels" -}}
app.kubernetes.io/name: {{ include "spillway.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "spillway.labels" -}}
{{ include "spillway.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "spillway.metadata" -}}
name: {{ include "spillway.fullname" . }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "spillway.labels" . | nindent 2 }}
{{- end }}

{{- define "spillway.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "spillway.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "spillway.image" -}}
{{- $repository := required "Set image.repository: there is no public image. Build deploy/Dockerfile and push it to your registry" .Values.image.repository }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- define "spillway.adminSecret" -}}
{{- default (printf "%s-admin" (include "spillway.fullname" .)) .Values.admin.existingSecret }}
{{- end }}

{{- define "spillway.filesSecret" -}}
{{- if .Values.secrets.existingSecret }}
{{- .Values.secrets.existingSecret }}
{{- else if .Values.secrets.files }}
{{- printf "%s-files" (include "spillway.fullname" .) }}
{{- end }}
{{- end }}

{{- /* The configuration file: what the values say, and what the chart decides. */ -}}
{{- define "spillway.config" -}}
{{- $own := dict "host" "0.0.0.0" "port" (int .Values.service.targetPort) }}
{{- $_ := set $own "drain_delay" (printf "%ds" (int .Values.drain.delaySeconds)) }}
{{- $_ := set $own "drain_window" (printf "%ds" (int .Values.drain.windowSeconds)) }}
{{- $_ := set $own "stop_timeout" (printf "%ds" (int .Values.drain.stopTimeoutSeconds)) }}
{{- if .Values.admin.enabled }}
{{- $_ := set $own "admin_host" "0.0.0.0" }}
{{- $_ := set $own "admin_port" 9090 }}
{{- $_ := set $own "admin_tokens_file" "/run/secrets/spillway-admin/admin-tokens.json" }}
{{- end }}
{{- if .Values.reloadConfig }}
{{- $_ := set $own "watch_config" true }}
{{- end }}
{{- if .Values.tls.existingSecret }}
{{- $_ := set $own "tls_cert_file" "/run/secrets/spillway-tls/tls.crt" }}
{{- $_ := set $own "tls_key_file" "/run/secrets/spillway-tls/tls.key" }}
{{- end }}
{{- range $key, $_ := $own }}
{{- if hasKey $.Values.config $key }}
{{- fail (printf "config.%s is set by the chart: use service.targetPort, admin, drain, tls or reloadConfig in its place" $key) }}
{{- end }}
{{- end }}
{{- toPrettyJson (merge $own .Values.config) }}
{{- end }}

{{- /* A probe of a path, on the port for operators if there is one. */ -}}
{{- define "spillway.probe" -}}
httpGet:
  path: {{ .path }}
  port: {{ ternary "admin" "http" .root.Values.admin.enabled }}
  {{- if .root.Values.tls.existingSecret }}
  scheme: HTTPS
  {{- end }}
{{- end }}
