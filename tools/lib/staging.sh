# Puts programs with the libraries they need into a small root, and packs roots for the kernel.
# shellcheck shell=bash

new_root() { # DIR: Debian's merged-/usr layout
    local dir
    mkdir -p "$1"/{usr/bin,usr/sbin,usr/lib/x86_64-linux-gnu,usr/lib64}
    mkdir -p "$1"/{proc,sys,dev,run,tmp,root,out,etc,var}
    for dir in bin sbin lib lib64; do ln -s "usr/$dir" "$1/$dir"; done
}

# Copies a file and every link on the way to it: a plugin that is linked to and also opened by name
# must stay one file, or its constructors run twice.
copy_with_links() { # ROOT PATH
    local root=$1 path target
    path=$(realpath -s "$2")
    path=$(realpath "$(dirname "$path")")/$(basename "$path")
    while [ ! -e "$root$path" ] && [ ! -L "$root$path" ]; do
        mkdir -p "$root$(dirname "$path")"
        if [ ! -L "$path" ]; then
            cp "$path" "$root$path"
            return
        fi
        target=$(readlink "$path")
        cp -P "$path" "$root$path"
        case $target in
            /*) path=$target ;;
            *) path=$(dirname "$path")/$target ;;
        esac
        path=$(realpath "$(dirname "$path")")/$(basename "$path")
    done
}

copy_libraries() { # ROOT PROGRAM..
    local root=$1 library
    shift
    # ldd fails on static programs, which need nothing.
    { ldd "$@" 2>/dev/null || true; } | awk '/=> \// { print $3 } $1 ~ /^\/.*ld-linux/ { print $1 }' |
        sort -u | while IFS= read -r library; do
        copy_with_links "$root" "$library"
    done
}

# Drivers that EAL opens by name from its plugin directory.
dpdk_plugins=(bus_vdev bus_pci mempool_ring mempool_stack net_af_packet net_virtio net_vhost)

copy_dpdk_plugins() { # ROOT
    local root=$1 plugins name
    plugins=$(find /usr/lib/x86_64-linux-gnu/dpdk -maxdepth 1 -name 'pmds-*' | head -n 1)
    [ -n "$plugins" ] || die "DPDK's drivers are not installed"
    for name in "${dpdk_plugins[@]}"; do
        copy_with_links "$root" "$plugins/librte_$name.so"
        copy_libraries "$root" "$plugins/librte_$name.so"
    done
}

copy_busybox() { # ROOT
    local applet
    cp /usr/bin/busybox "$1/usr/bin/busybox"
    for applet in $(/usr/bin/busybox --list); do
        [ -e "$1/usr/bin/$applet" ] || ln -s busybox "$1/usr/bin/$applet"
    done
}

# Uncompressed: emulated machines copy faster than they inflate.
pack_root() { # DIR FILE
    chmod 755 "$1" # mktemp made it for its owner alone; here it is everybody's /
    (cd "$1" && find . -print0 | LC_ALL=C sort -z |
        cpio -0 -o -H newc --quiet --reproducible -R 0:0) >"$2.part"
    mv "$2.part" "$2"
}
