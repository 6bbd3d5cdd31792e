#!/bin/sh
# Makes what docker-compose.yml mounts: a TLS certificate, the target's host key with its known_hosts line,
# and the place for the gateway's user CA. Run once; it overwrites nothing.
set -eu
cd "$(dirname "$0")"
mkdir -p made/tls made/host
if [ ! -f made/tls/key.pem ]; then
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout made/tls/key.pem -out made/tls/cert.pem
  chmod 0640 made/tls/key.pem && chgrp 10001 made/tls/key.pem 2>/dev/null || chmod 0644 made/tls/key.pem
fi
[ -f made/host/ssh_host_ed25519_key ] || ssh-keygen -q -t ed25519 -N '' -C prod-db -f made/host/ssh_host_ed25519_key
printf 'target %s\n' "$(cut -d' ' -f1,2 made/host/ssh_host_ed25519_key.pub)" > made/known_hosts
[ -f made/user_ca.pub ] || : > made/user_ca.pub
echo 'Next: docker compose up -d, then'
echo '  docker compose exec gateway cat /var/lib/sallyport/keys/user_ca.pub > deploy/made/user_ca.pub && docker compose restart target'
