#!/bin/sh
# /usr/local/bin/zlh-api: the installed version, as the user whose files it works on; for root alone.
set -eu
user=$(systemctl show --property=User --value zlh-api.service)
# The tree of artifacts and its keys are the artifact server's, whoever the API is.
[ "${1:-}" != artifacts ] || user=zlh-api
exec runuser -u "${user:-root}" -- env USER="${user:-root}" LOGNAME="${user:-root}" HOME=/var/lib/zlh ZLH_HOME=/var/lib/zlh \
    /opt/zlh/api/current/bin/zlh-api "$@"
