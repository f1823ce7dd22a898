# Debian's own cloud kernels: 6.1 for the guest, 6.12 of the backports suite for testbed machines;
# and memcached. Fetched once a user and machine, from the mirror that apt is configured for, checked by apt.
# shellcheck shell=bash

kernels=$user_cache/kernels

# Runs an apt tool on package lists of our own, so the machine's are neither needed nor changed.
private_apt() {
    local tool=$1 dir=$kernels/apt
    shift
    "$tool" -o "Dir::Etc::SourceList=$dir/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o "Dir::State::Lists=$dir/lists" -o "Dir::Cache=$dir/cache" -o APT::Sandbox::User= \
        -o Acquire::Retries=3 -q "$@"
}

# Address of the Debian mirror in use; the backports suite lies beside bookworm there.
mirror_in_use() {
    local mirror
    # shellcheck disable=SC2016 # apt expands these
    mirror=$(apt-get indextargets --format '$(RELEASE)|$(REPO_URI)' |
        awk -F'|' '$1 == "bookworm" { print $2; exit }')
    [ -n "$mirror" ] || die "apt has no source for bookworm: this needs Debian 12"
    printf '%s' "$mirror"
}

update_private_apt() {
    local dir=$kernels/apt mirror suite
    mirror=$(mirror_in_use)
    mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
    for suite in bookworm bookworm-backports; do
        printf 'deb [signed-by=%s] %s %s main\n' \
            /usr/share/keyrings/debian-archive-keyring.gpg "$mirror" "$suite"
    done >"$dir/sources.list"
    logged kernel-lists private_apt apt-get update
}

unpack_kernel() { # DEB DIR: DIR/vmlinuz and DIR/modules/
    local unpacked
    unpacked=$(mktemp -d "$kernels/unpack.XXXXXX")
    dpkg-deb --fsys-tarfile "$1" | tar -x -C "$unpacked" ./boot ./lib/modules
    mv "$unpacked"/boot/vmlinuz-* "$unpacked/vmlinuz"
    mv "$unpacked"/lib/modules/*/kernel "$unpacked/modules"
    rm -rf "${unpacked:?}/lib"
    mv -T "$unpacked" "$2"
}

fetch_kernel() { # SUITE VERSION_PREFIX
    local suite=$1 prefix=$2 image work
    [ ! -e "$kernels/$suite" ] || return 0
    say "    fetching Debian's cloud kernel of $suite"
    update_private_apt
    image=$(private_apt apt-cache depends "linux-image-cloud-amd64/$suite" |
        awk -v prefix="linux-image-$prefix" '$1 == "Depends:" && index($2, prefix) { print $2; exit }')
    [ -n "$image" ] || die "no $prefix cloud kernel in $suite"
    work=$(mktemp -d "$kernels/download.XXXXXX")
    (cd "$work" && logged "kernel-$suite" private_apt apt-get download "$image")
    unpack_kernel "$work"/*.deb "$kernels/$suite"
    rm -rf "$work"
}

# The directories that hold vmlinuz and modules/.
host_kernel_dir=$kernels/bookworm-backports
guest_kernel_dir=$kernels/bookworm

need_kernels() {
    mkdir -p "$kernels"
    with_lock "$kernels/lock" fetch_kernel bookworm-backports 6.12
    with_lock "$kernels/lock" fetch_kernel bookworm 6.1
}

# A server's program without its package.
memcached_dir=$user_cache/memcached

fetch_memcached() {
    local work
    [ ! -e "$memcached_dir" ] || return 0
    say "    fetching memcached"
    update_private_apt
    work=$(mktemp -d "$kernels/download.XXXXXX")
    (cd "$work" && logged memcached private_apt apt-get download memcached/bookworm)
    dpkg-deb -x "$work"/*.deb "$work/unpacked"
    mv -T "$work/unpacked" "$memcached_dir"
    rm -rf "$work"
}

need_memcached() {
    mkdir -p "$kernels"
    with_lock "$kernels/lock" fetch_memcached
}
