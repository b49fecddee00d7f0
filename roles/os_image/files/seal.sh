#!/bin/sh
# Takes out of a builder what must not be in a golden image: identity, keys, package sources, traces of work.
set -eu
# Until the power is off nothing is written down any more.
mkdir -p /run/systemd/journald.conf.d
printf '[Journal]\nStorage=none\n' >/run/systemd/journald.conf.d/zz-sealed.conf
systemctl restart systemd-journald.service
rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/* /etc/apt/apt.conf.d/99mmdebstrap
rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/lib/dpkg/*-old
rm -f /etc/dpkg/dpkg.cfg.d/rmc-dr-builder
rm -f /etc/ssh/ssh_host_* /etc/ssl/private/ssl-cert-snakeoil.key /etc/ssl/certs/ssl-cert-snakeoil.pem
find /etc/ssl/certs -xtype l -delete
rm -rf /root/.ssh /root/.ansible /root/.bash_history /root/.cache
find /var/log -mindepth 1 -type f -delete
rm -rf /var/log/journal/* /tmp/* /var/tmp/*
rm -f /var/lib/systemd/random-seed /var/lib/systemd/credential.secret /var/lib/dbus/machine-id
rm -f /etc/hostname /etc/resolv.conf
# Present and empty: the first boot makes a fresh one, and systemd does not take the boot for the very first,
# when it would switch on every service that is installed.
: >/etc/machine-id
