# tools/dev bare: both README commands, from a fresh clone, in a Debian 12 root with nothing in it.
# shellcheck shell=bash
# shellcheck source=tools/lib/install.sh
source "$lib/install.sh"
# shellcheck source=tools/lib/kernels.sh
source "$lib/kernels.sh"

bare_archive=$user_cache/bare-bookworm.tar

make_bare_archive() {
    local root
    [ ! -e "$bare_archive" ] || return 0
    mkdir -p "$user_cache"
    root=$(mktemp -d /var/tmp/vsmp-debootstrap.XXXXXX)
    at_exit rm -rf --one-file-system "$root"
    # A namespace of its own, so that whatever debootstrap mounts goes away with it.
    logged debootstrap unshare --mount debootstrap --variant=minbase bookworm "$root" "$(mirror_in_use)"
    tar -C "$root" -cf "$bare_archive.part" .
    mv "$bare_archive.part" "$bare_archive"
    rm -rf --one-file-system "$root"
}

configure_root() { # ROOT: names and proxies as this machine has them
    cp -L /etc/resolv.conf /etc/hosts "$1/etc/"
    apt-config dump | grep -iE '^Acquire::(http|https)::proxy' >"$1/etc/apt/apt.conf.d/90proxy" || true
}

# Mounts live in a mount namespace: they are gone when its last process is, whatever happens. So are
# the processes, through the PID namespace.
in_bare_root() { # ROOT COMMAND
    # shellcheck disable=SC2016 # the inner shell expands these
    unshare --mount --pid --fork --kill-child --propagation private bash -euc '
        root=$1
        mount -t proc proc "$root/proc"
        mount --rbind /sys "$root/sys"
        mount --rbind /dev "$root/dev"
        exec chroot "$root" env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
            LANG=C.UTF-8 bash -c "cd /root/vsmp && $2"' bare "$@"
}

verb_bare() {
    local root commands=('./tools/dev demo' './tools/dev test') command
    [ "$(id -u)" = 0 ] || die "bare: needs root, for chroot"
    [ $# = 0 ] || commands=("$@")
    plan $((3 + ${#commands[@]}))
    step "packages"
    need_packages bare
    step "a bare Debian 12 root"
    make_bare_archive
    root=$(mktemp -d /var/tmp/vsmp-bare.XXXXXX)
    at_exit rm -rf --one-file-system "$root"
    tar -C "$root" -xf "$bare_archive"
    configure_root "$root"
    step "a fresh clone of $(git -C "$top" log -1 --format='%h %s')"
    [ -z "$(git -C "$top" status --porcelain)" ] || say "    what is not committed is not in it"
    git clone -q --no-hardlinks "$top" "$root/root/vsmp"
    for command in "${commands[@]}"; do
        step "$command (build/logs/bare-${command##* }.log)"
        logged "bare-${command##* }" in_bare_root "$root" "$command"
        tail -n 25 "$logs/bare-${command##* }.log"
    done
}
