# tools/dev demo [--console]
# shellcheck shell=bash
# shellcheck source=tools/lib/testbed.sh
source "$lib/testbed.sh"

# True when this machine can run the nodes itself: real virtualization with nested paging, Linux
# 6.4, and root, for veth pairs.
host_can_run() {
    [ "$(id -u)" = 0 ] && [ -r /dev/kvm ] && [ -w /dev/kvm ] &&
        grep -qE '^flags.* (vmx|svm)( |$)' /proc/cpuinfo &&
        grep -qsE '^(1|Y)' /sys/module/kvm_amd/parameters/npt /sys/module/kvm_intel/parameters/ept &&
        [ "$(printf '%s\n' 6.4 "$(uname -r)" | sort -V | head -n 1)" = 6.4 ]
}

run_demo_here() {
    local program path=$PATH
    preset=dev
    while IFS= read -r program; do path=$(dirname "$program"):$path; done < <(build_programs)
    PATH=$path VSMP_HOLD_US=${VSMP_HOLD_US:-500} VSMP_XML=$top/examples/two-nodes.xml VSMP_KERNEL=$guest_dir/vmlinuz \
        VSMP_INITRD=$guest_dir/initrd "$lib/demo_inside.sh" "$@"
}

verb_demo() {
    local arguments=() terminal=()
    case ${1:-} in
        '') ;;
        --console) arguments=(--console) terminal=(--tty) ;;
        *) die "demo: what is '$1'?" ;;
    esac
    plan 5
    step "packages"
    need_packages build run
    step "building (build/logs/build-dev.log)"
    build_preset dev
    step "Debian's kernels, from your mirror"
    need_kernels
    step "the guest's initramfs"
    need_guest_image
    if host_can_run; then
        step "two nodes on this machine"
        run_demo_here "${arguments[@]}"
    else
        step "no hardware virtualization with nested paging here: booting the testbed"
        verb_testbed --no-build --timeout 900 "${terminal[@]}" -- demo_inside.sh "${arguments[@]}"
    fi
}
