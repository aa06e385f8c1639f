#!/bin/sh
# /usr/local/bin/zlh-api: the installed version, as the user whose files it works on; for root alone.
set -eu
user=$(systemctl show --property=User --value zlh-api.service)
# The tree of artifacts and its keys are the artifact server's, whoever the API is.
[ "${1:-}" != artifacts ] || user=zlh-api
program=/opt/zlh/api/current/bin/zlh-api
# Until the first installation has come to its end, there is a version and nothing that leads to it.
for complete in /opt/zlh/api/*/.complete; do
    [ -e "$program" ] || [ ! -e "$complete" ] || program="${complete%/.complete}/bin/zlh-api"
done
exec runuser -u "${user:-root}" -- env USER="${user:-root}" LOGNAME="${user:-root}" HOME=/var/lib/zlh ZLH_HOME=/var/lib/zlh \
    "$program" "$@"
