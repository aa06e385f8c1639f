#!/bin/sh
# Prepares a machine for Traefik and for the API's publisher, as root; may be run again, and changes nothing that is right.
#
#   setup.sh PUBLIC_KEY PRIVATE_ADDRESS [ROOT [ETC]]
#
# PUBLIC_KEY       the file with the public half of the publisher's key (traefik.sftp.key of the API); `-` where the API
#                  writes the folder itself, as root of this very machine (driver lxc)
# PRIVATE_ADDRESS  the address at which the API reaches Traefik's own API, and nobody else does
# ROOT             what the publisher sees as / (default /srv/zlh-routes)
# ETC              Traefik's folder (default /etc/traefik)
set -eu
umask 022
here=$(cd "$(dirname "$0")" && pwd)
key=${1:?the file with the publisher\'s public key}
address=${2:?the private address of Traefik\'s API}
root=${3:-/srv/zlh-routes}
etc=${4:-/etc/traefik}

# Traefik's user, who reads keys and keeps certificates. One that is there already may be its package's.
getent passwd traefik > /dev/null || useradd --system --user-group --no-create-home --home-dir /var/lib/traefik --shell /usr/sbin/nologin traefik

owner=root
if [ "$key" != - ]; then
    case $(cat "$key") in
        ssh-ed25519\ *|ecdsa-sha2-*\ *|sk-*\ *|ssh-rsa\ *) ;;
        *) echo "$key is no public key" >&2; exit 2 ;;
    esac
    # One user for the publisher: no password, no shell, no home. `*` and not `!`, which sshd takes for a closed account.
    owner=zlh
    getent passwd zlh > /dev/null || useradd --system --user-group --no-create-home --home-dir / --shell /usr/sbin/nologin zlh
    usermod --password '*' zlh
fi

# The root of its world belongs to root, as sshd demands; what is in it is the publisher's to write and Traefik's to read.
install -d -o root -g root -m 0755 "$root"
install -d -o "$owner" -g "$owner" -m 0755 "$root/dynamic" "$root/quarantine"

if [ "$key" != - ]; then
    install -o root -g root -m 0644 /dev/null /etc/ssh/zlh_authorized_keys.new
    sed 's/^/restrict /' "$key" > /etc/ssh/zlh_authorized_keys.new
    mv /etc/ssh/zlh_authorized_keys.new /etc/ssh/zlh_authorized_keys
    install -d -o root -g root -m 0755 /etc/ssh/sshd_config.d
    snippet=/etc/ssh/sshd_config.d/zlh.conf
    sshd=$(command -v sshd || echo /usr/sbin/sshd)
    # What is there before stands beside it until the new one is known to be good; an empty file stands for none. Where it
    # stands there already, a run was cut off.
    [ ! -e "$snippet.before" ] || mv "$snippet.before" "$snippet"
    if [ -e "$snippet" ]; then cp -p "$snippet" "$snippet.before.new"; else : > "$snippet.before.new"; fi
    mv "$snippet.before.new" "$snippet.before"
    sed "s|@ROOT@|$root|" "$here/sshd_zlh.conf" > "$snippet"
    if ! "$sshd" -t; then
        # It would not start again with it, and nobody could come in any more.
        mv "$snippet.before" "$snippet"
        [ -s "$snippet" ] || rm "$snippet"
        echo "sshd refuses $snippet: it is as it was before" >&2
        exit 1
    fi
    rm "$snippet.before"
fi

# Traefik's own API: a certificate for its address, and one user, of whom Traefik keeps a hash alone.
install -d -o root -g root -m 0755 "$etc"
case $address in
    *[!0-9.:a-f]*) san="DNS:$address" check=-checkhost ;;
    *) san="IP:$address" check=-checkip ;;
esac
# One that is for another address would be believed by nobody who calls this one.
if ! openssl x509 -in "$etc/api.crt" -noout "$check" "$address" 2> /dev/null | grep -q "does match"; then
    (umask 077 && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 \
        -subj "/CN=Traefik API" -addext "subjectAltName=$san" -addext "extendedKeyUsage=serverAuth" \
        -keyout "$etc/api.key" -out "$etc/api.crt.new" 2> /dev/null)
    chmod 0644 "$etc/api.crt.new"
    mv "$etc/api.crt.new" "$etc/api.crt"
fi
if [ ! -e "$etc/api.users" ]; then
    (umask 077
     password=$(openssl rand -hex 24)
     printf 'zlh:%s\n' "$password" > "$etc/api.credentials"
     printf 'zlh:%s\n' "$(printf '%s\n' "$password" | openssl passwd -apr1 -stdin)" > "$etc/api.users.new")
    mv "$etc/api.users.new" "$etc/api.users"
fi
# Traefik's user reads what is its own; the API's credentials are copied to the API's machine and removed here.
chown traefik "$etc/api.key" "$etc/api.users"

sed "s|@ETC@|$etc|g" "$here/private-api.yml" > "$root/.private-api.new"
chmod 0644 "$root/.private-api.new"
mv "$root/.private-api.new" "$root/dynamic/private-api.yml"

echo "Done. On the API's machine, files that are the API's user's (zlh-api; root with the driver lxc):"
echo "  traefik.api_ca             a copy of $etc/api.crt"
echo "  traefik.api_credentials    a copy of $etc/api.credentials, mode 0600; then remove it here"
if [ "$key" = - ]; then
    echo "  traefik.directory          $root/dynamic    traefik.quarantine  $root/quarantine"
else
    echo "  traefik.sftp.known_hosts   a line with this machine's name and its key (/etc/ssh/ssh_host_ed25519_key.pub)"
    echo "  traefik.directory          /dynamic    traefik.quarantine  /quarantine"
    echo "Then: systemctl reload ssh"
fi
