# tools/dev bench NAME [--json]: runs bench_NAME of the release build; `boot` and `linux` run in the
# testbed.
# Standard output is the bench's alone.
# shellcheck shell=bash
# shellcheck source=tools/lib/testbed.sh
source "$lib/testbed.sh"

benches() { # as CMake is told of them
    find "$top" -name build -prune -o -name CMakeLists.txt -print0 |
        xargs -0 sed -n 's/^add_executable(bench_\([A-Za-z0-9_]*\).*/\1/p' | sort -u
    printf '%s\n' boot linux
}

bench_linux() { # [--json] [--rounds N] [--hosts 1|2] [--loads NAME,..]
    local rounds=3 hosts=2 format=table loads=sha1,sha2,kv,memory,mutex,heat
    while [ $# != 0 ]; do
        case $1 in
            --json) format=json && shift && continue ;;
            --rounds | --hosts | --loads) [ $# -ge 2 ] || die "bench linux: $1 needs a value" ;;
            *) die "bench linux: what is '$1'?" ;;
        esac
        case $1 in
            --rounds) rounds=$2 ;;
            --hosts) hosts=$2 ;;
            --loads) loads=$2 ;;
        esac
        shift 2
    done
    [[ $rounds =~ ^[1-9][0-9]*$ ]] || die "bench linux: --rounds is a number above 0"
    need_loads_image
    verb_testbed --hosts "$hosts" --timeout $((rounds * 900)) --name bench-linux \
        --file "$lib/bench_linux.sh:/usr/bin/bench_linux.sh" \
        --file "$guest_dir/initrd-loads:/var/lib/vsmp/boot/loads.img" \
        -- bench_linux.sh "$rounds" "$hosts" "$format" "$loads"
}

verb_bench() {
    local name=${1:-} program
    if [ -z "$name" ]; then
        benches
        return
    fi
    # Not -q, which stops reading: who writes to it then fails, and with it the line.
    benches | grep -x -- "$name" >/dev/null ||
        die "there is no bench '$name'; there are: $(benches | tr '\n' ' ')"
    shift
    if [ "$name" = boot ]; then
        verb_testbed --timeout 1200 --file "$lib/bench_boot.sh:/usr/bin/bench_boot.sh" -- bench_boot.sh 3 "$@"
        return
    fi
    if [ "$name" = linux ]; then
        bench_linux "$@"
        return
    fi
    plan 2
    step "packages"
    need_packages build
    step "building release (build/logs/build-release.log)"
    # Whole, because a bench starts other programs of the build.
    build_preset release
    program=$(find "$top/build/release" -type f -executable -name "bench_$name")
    "$program" "$@"
}
