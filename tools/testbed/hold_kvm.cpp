// Keeps one virtual machine with one vCPU alive, in the background, doing nothing.
//
// KVM patches kernel code when the first machine and the first vCPU without an in-kernel APIC
// appear and when the last ones go (static keys preempt_notifier_key and kvm_has_noapic_vcpu).
// With two emulated CPUs QEMU 7.2 may run a stale breakpoint of such a patch, and Linux dies of
// "int3" in __schedule. While this machine lives, those keys stay as they are.
#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>

int main() {
    const int kvm = open("/dev/kvm", O_RDWR);
    const int machine = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0);
    const int vcpu = machine < 0 ? -1 : ioctl(machine, KVM_CREATE_VCPU, 0);
    if (vcpu < 0) {
        std::perror("hold_kvm");
        return 1;
    }
    if (daemon(0, 0) != 0) return 1;
    for (;;) pause();
}
