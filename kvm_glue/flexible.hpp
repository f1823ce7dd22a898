// Private to kvm_glue: the API's structures that end in a flexible array.
//
// The kernel headers of Debian 12 declare such arrays with an empty struct in front, which takes a
// byte in C++ and none in C. There sizeof(kvm_msrs), and with it the number of KVM_GET_MSRS, is
// wrong. So their heads, and the ioctl numbers made from their sizes, are defined here.
#pragma once

#include <linux/kvm.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

namespace vsmp::kvm {

struct CountHead {  // kvm_msr_list
    std::uint32_t count = 0;
};
struct PaddedCountHead {  // kvm_msrs, kvm_cpuid2
    std::uint32_t count = 0, padding = 0;
};
struct XsaveHead {  // kvm_xsave
    std::uint32_t region[1024];
};
static_assert(sizeof(CountHead) == 4 && sizeof(PaddedCountHead) == 8 && sizeof(XsaveHead) == 4096);

inline constexpr unsigned long kGetSupportedCpuid = _IOWR(KVMIO, 0x05, PaddedCountHead);
inline constexpr unsigned long kGetMsrIndexList = _IOWR(KVMIO, 0x02, CountHead);
inline constexpr unsigned long kGetMsrs = _IOWR(KVMIO, 0x88, PaddedCountHead);
inline constexpr unsigned long kSetMsrs = _IOW(KVMIO, 0x89, PaddedCountHead);
inline constexpr unsigned long kSetCpuid2 = _IOW(KVMIO, 0x90, PaddedCountHead);
inline constexpr unsigned long kGetXsave = _IOR(KVMIO, 0xa4, XsaveHead);
inline constexpr unsigned long kSetXsave = _IOW(KVMIO, 0xa5, XsaveHead);
inline constexpr unsigned long kGetXsave2 = _IOR(KVMIO, 0xcf, XsaveHead);

// `Head` and `count` times `Entry`, as the kernel lays them out.
template <class Head, class Entry>
class FlexibleBuffer {
    static_assert(std::is_trivially_copyable_v<Entry>);

  public:
    explicit FlexibleBuffer(std::size_t count) : bytes_(sizeof(Head) + count * sizeof(Entry)) {
        Head head;
        head.count = static_cast<std::uint32_t>(count);
        std::memcpy(bytes_.data(), &head, sizeof head);
    }

    void* data() { return bytes_.data(); }
    // As the kernel left it.
    std::uint32_t count() const {
        Head head;
        std::memcpy(&head, bytes_.data(), sizeof head);
        return head.count;
    }
    Entry entry(std::size_t i) const {
        Entry entry;
        std::memcpy(&entry, bytes_.data() + sizeof(Head) + i * sizeof entry, sizeof entry);
        return entry;
    }
    void set_entry(std::size_t i, const Entry& entry) {
        std::memcpy(bytes_.data() + sizeof(Head) + i * sizeof entry, &entry, sizeof entry);
    }

  private:
    std::vector<std::byte> bytes_;
};

}  // namespace vsmp::kvm
