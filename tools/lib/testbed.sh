# tools/dev testbed: nested-virtualization machines in files. docs/testbed.md tells how to use it.
# shellcheck shell=bash
# shellcheck source=tools/lib/build.sh
source "$lib/build.sh"
# shellcheck source=tools/lib/kernels.sh
source "$lib/kernels.sh"
# shellcheck source=tools/lib/staging.sh
source "$lib/staging.sh"
# shellcheck source=tools/lib/guest_image.sh
source "$lib/guest_image.sh"
# shellcheck source=tools/lib/testbed_image.sh
source "$lib/testbed_image.sh"
# shellcheck source=tools/lib/testbed_qemu.sh
source "$lib/testbed_qemu.sh"
# shellcheck source=tools/lib/testbed_bochs.sh
source "$lib/testbed_bochs.sh"

testbed_usage() {
    cat <<'TEXT'
Usage: tools/dev testbed [OPTIONS] -- COMMAND [ARGUMENTS]
       tools/dev testbed [OPTIONS] console

  --hosts 1|2      machines (default 1); with 2 COMMAND runs in the first
  --peer COMMAND   what the second machine runs (default: vsmpd --listen 10.77.0.2)
  --cpu amd|intel  amd: QEMU with emulated SVM (default); intel: Bochs with VMX and EPT, slow
  --eptad 0|1      kvm-intel's use of accessed/dirty bits (intel; default 1)
  --fabric kernel|uio|vfio
                   who drives the card between two machines: the kernel, as interface fabric0 (default),
                   or DPDK, by its address 0000:00:10.0 under uio_pci_generic (no interrupts) or
                   vfio-pci (with an emulated IOMMU)
  --mem MIB        memory of each machine (default 2048)
  --smp N          CPUs of each machine (default 2; intel: 1)
  --timeout S      end COMMAND after S seconds (default 300; intel: 1200)
  --preset NAME    take programs from build/NAME (default dev)
  --with PROGRAM   also take this program of the build (those COMMAND names are taken anyway)
  --file SRC[:DST] also take this file, as DST (default /job/NAME)
  --tty            COMMAND gets your terminal
  --name NAME      keep logs in build/testbed/NAME, so that several runs can go on at once
  --no-build       don't build first

The exit status is COMMAND's; 124: it took too long; 125: the machine failed (see its log).
Files that COMMAND leaves in /out are in build/testbed/out afterwards.
TEXT
}

testbed_defaults() {
    hosts=1 peer='vsmpd --listen 10.77.0.2' fabric=kernel cpu=amd eptad=1 mem=2048 smp='' limit='' preset=dev name='' tty=no build=yes
    with=() files=() command=()
}

parse_testbed() {
    local value
    while [ $# != 0 ]; do
        value=${2:-}
        case $1 in
            --hosts | --peer | --fabric | --cpu | --eptad | --mem | --smp | --timeout | --preset | --with | --file | --name)
                [ $# -ge 2 ] || die "testbed: $1 needs a value"
                ;;
        esac
        case $1 in
            --hosts) hosts=$value && shift 2 ;;
            --peer) peer=$value && shift 2 ;;
            --fabric) fabric=$value && shift 2 ;;
            --cpu) cpu=$value && shift 2 ;;
            --eptad) eptad=$value && shift 2 ;;
            --mem) mem=$value && shift 2 ;;
            --smp) smp=$value && shift 2 ;;
            --timeout) limit=$value && shift 2 ;;
            --preset) preset=$value && shift 2 ;;
            --with) with+=("$value") && shift 2 ;;
            --file) files+=("$value") && shift 2 ;;
            --name) name=$value && shift 2 ;;
            --tty) tty=yes && shift ;;
            --no-build) build=no && shift ;;
            --help | -h) testbed_usage && exit 0 ;;
            --) shift && command=("$@") && break ;;
            console) tty=yes command=(busybox sh) && shift ;;
            *) testbed_usage >&2 && die "testbed: what is '$1'?" ;;
        esac
    done
}

check_testbed_options() {
    local value
    [ "${#command[@]}" != 0 ] || { testbed_usage >&2 && die "testbed: no command"; }
    case $cpu in
        amd) : "${smp:=2}" "${limit:=300}" ;;
        intel) : "${smp:=1}" "${limit:=1200}" ;;
        *) die "testbed: --cpu is amd or intel, not '$cpu'" ;;
    esac
    for value in "$mem" "$smp" "$limit"; do
        [[ $value =~ ^[1-9][0-9]*$ ]] || die "testbed: '$value' is not a number above 0"
    done
    [[ $hosts =~ ^[12]$ ]] || die "testbed: --hosts is 1 or 2, not '$hosts'"
    [[ $fabric =~ ^(kernel|uio|vfio)$ ]] || die "testbed: --fabric is kernel, uio or vfio, not '$fabric'"
    [ "$fabric" = kernel ] || [ "$hosts" = 2 ] || die "testbed: one machine has no card for --fabric $fabric"
    [[ $eptad =~ ^[01]$ ]] || die "testbed: --eptad is 0 or 1, not '$eptad'"
    [[ $name =~ ^[A-Za-z0-9_.-]*$ ]] || die "testbed: '$name' cannot be a directory's name"
    if [ "$cpu" = intel ] && { [ "$hosts" != 1 ] || [ "$tty" = yes ]; }; then
        die "testbed: the Intel lane has one machine and no terminal"
    fi
}

# One run owns its directory: logs, the job, what comes out.
open_run_directory() {
    run_dir=$top/build/testbed${name:+/$name}
    mkdir -p "$run_dir"
    exec {run_lock}>"$run_dir/lock"
    flock -n "$run_lock" || die "testbed: another run uses $run_dir; give this one a --name"
    # Sockets live in a short path: their names have room for 107 bytes only.
    socket_dir=$(mktemp -d "${TMPDIR:-/tmp}/vsmp-testbed.XXXXXX")
    at_exit rm -rf "$socket_dir"
}

run_machines() {
    rm -rf "$run_dir"/{host1.log,host2.log,host2.out,machine{1.log,1.out,2.log},out,out.tar,status1,status2,job}
    if [ "$cpu" = intel ]; then run_bochs; else run_qemu; fi
    unpack_results
}

# Machine 1 ran nothing, as the other did not come up.
came_to_nothing() { grep -qsx 'not run' "$run_dir/status1"; }

show_logs() {
    say "testbed: ends of $run_dir/{host,machine}{1,2}.log:"
    tail -n 20 "$run_dir"/{host1,machine1,host2,machine2}.log >&2 2>/dev/null || true
}

# machine N ended: what it said about its command, or 125 when it did not get that far.
machine_status() {
    local status
    status=$(sed -n 's/^exit \([0-9]*\)$/\1/p' "$run_dir/status$1" 2>/dev/null | tail -n 1)
    if [ -z "$status" ]; then
        say "testbed: machine $1 ended without a result"
        show_logs
        status=125
    elif [ "$status" = 124 ] || [ "$status" = 143 ]; then
        say "testbed: the command was ended after $limit s"
        status=124
    fi
    return "$status"
}

unpack_results() {
    [ -s "$run_dir/out.tar" ] || return 0
    mkdir -p "$run_dir/out"
    tar -x -m -C "$run_dir/out" -f "$run_dir/out.tar" || say "testbed: /out arrived damaged"
}

prepare_testbed() {
    local groups=(build run)
    [ "$cpu" = amd ] || groups+=(intel)
    need_packages "${groups[@]}"
    [ "$build" = no ] || build_preset "$preset"
    need_kernels
    need_guest_image
    with_lock "$top/build/cache/lock" make_testbed_images
}

verb_testbed() {
    local status=0
    testbed_defaults
    parse_testbed "$@"
    check_testbed_options
    prepare_testbed
    open_run_directory
    run_machines
    # Now and then an emulated machine does not boot. That says nothing about the command.
    if came_to_nothing; then
        say "testbed: machine 2 did not come up; once more"
        show_logs
        run_machines
    fi
    machine_status 1 || status=$?
    return "$status"
}
