#!/bin/sh
# What an administrator types on one member to make a Patroni cluster without this collection. Runs on the host itself.
#   by_hand.sh packages                     Debian's packages, and no cluster of Debian's own
#   by_hand.sh store ROOT_PASSWORD          once: a user of etcd for Patroni
#   by_hand.sh start NAME ADDRESS URLS      this member: its patroni.yml, and Patroni
#   by_hand.sh fill                         once, on the leader: an application's role, database and rows
set -eu
export DEBIAN_FRONTEND=noninteractive

packages() {
    mkdir -p /etc/postgresql-common
    echo "create_main_cluster = false" > /etc/postgresql-common/createcluster.conf
    apt-get -q update
    apt-get -qy install --no-install-recommends postgresql-17 patroni python3-etcd python3-psycopg2
    systemctl stop patroni postgresql
}

store() {
    set -a
    . /etc/etcd/etcdctl.env
    set +a
    root="--user=root:$1"
    etcdctl "$root" role add dba
    etcdctl "$root" role grant-permission dba --prefix=true readwrite /db/shop/
    echo "by-hand-store" | etcdctl "$root" user add dba --interactive=false
    etcdctl "$root" user grant-role dba dba
}

start() {
    install -d -o postgres -g postgres -m 0700 /srv/pg /srv/pg/certificates
    install -o postgres -m 0600 /etc/etcd/tls/ca.crt /etc/etcd/tls/member.crt /etc/etcd/tls/member.key /srv/pg/certificates/
    cat > /etc/patroni/config.yml <<EOF
log: {level: INFO}
scope: shop
name: $1
namespace: /db/
restapi:
  listen: 0.0.0.0:8008
  connect_address: $2:8008
  authentication: {username: admin, password: by-hand-api}
etcd3:
  hosts: $3
  protocol: https
  cacert: /srv/pg/certificates/ca.crt
  cert: /srv/pg/certificates/member.crt
  key: /srv/pg/certificates/member.key
  username: dba
  password: by-hand-store
bootstrap:
  dcs:
    ttl: 30
    loop_wait: 3
    retry_timeout: 10
    maximum_lag_on_failover: 33554432
    postgresql:
      use_pg_rewind: true
      parameters: {max_connections: 150, work_mem: 7MB, wal_keep_size: 64MB}
  initdb: [data-checksums, {encoding: UTF8}, {locale: C.UTF-8}]
postgresql:
  listen: 0.0.0.0:5432
  connect_address: $2:5432
  data_dir: /srv/pg/shop
  bin_dir: /usr/lib/postgresql/17/bin
  authentication:
    superuser: {username: postgres, password: by-hand-superuser}
    replication: {username: repl, password: by-hand-replication}
  parameters: {checkpoint_timeout: 7min}
  pg_hba:
    - local all all peer
    - host replication repl 0.0.0.0/0 scram-sha-256
    - host all all 127.0.0.1/32 scram-sha-256
    - host all all 10.0.0.0/8   scram-sha-256
tags: {clonefrom: true}
EOF
    chown postgres:postgres /etc/patroni/config.yml
    chmod 0640 /etc/patroni/config.yml
    systemctl enable --now patroni
}

fill() {
    cd /
    runuser -u postgres -- psql -Xq -v ON_ERROR_STOP=1 <<EOF
CREATE ROLE app LOGIN PASSWORD 'by-hand-app';
CREATE DATABASE shop OWNER app;
\c shop
SET ROLE app;
CREATE TABLE orders AS SELECT n, md5(n::text) AS what FROM generate_series(1, 5000) n;
CREATE TABLE ledger (n int PRIMARY KEY);
EOF
}

"$@"
