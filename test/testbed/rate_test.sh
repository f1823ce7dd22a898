#!/usr/bin/env bash
# How much more two processes compute than one. Usage: rate_test.sh SECONDS [OPTION OF guest_xml.sh]...
# On two hosts: rate_test.sh 20 --hosts 2 --mem 128 --policy learned; on one node: rate_test.sh 20 --nodes 1 --vcpus 2
set -euo pipefail

top=$(cd "$(dirname "$0")/../.." && pwd)
seconds=$1
shift
exec "$top/tools/dev" testbed --no-build --preset "$(basename "${VSMP_BUILD:-dev}")" --name rate --hosts 2 --smp 1 \
    --timeout $((120 + seconds * 8)) --file "$top/test/testbed/rate_run.sh:/usr/bin/rate_run.sh" \
    --peer 'vsmpd --listen 10.77.0.2' -- rate_run.sh --append "vsmp.job=rate vsmp.seconds=$seconds" "$@"
