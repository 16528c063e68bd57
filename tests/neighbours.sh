#!/bin/sh
# Real neighbours for the tests, from Debian's packages: installed where that is possible, named where it is not.
# None is started as a service: every test starts its own on a free loopback port.
set -u
missing=""
want() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || missing="$missing $2"; }
want mosquitto mosquitto
want influxd influxdb
want snmpd snmpd
want snmpget snmp
want chromium chromium
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"
[ -n "$(fc-list :lang=zh 2>/dev/null)" ] || missing="$missing fontconfig fonts-wqy-microhei"
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing test neighbours:$missing"
    export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
    { apt-get update -qq && apt-get install -qq -y --no-install-recommends $missing; } >/dev/null 2>&1 && exit 0
    echo "apt-get could not install:$missing; tests that need them will be skipped"
else
    echo "Tests that need these will be skipped; to run them: sudo apt-get install$missing"
fi
exit 0
