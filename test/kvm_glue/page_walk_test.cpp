// Whether the processor writes to a guest's page tables when it only walks them: what an operating
// system over several nodes pays for (docs/ARCHITECTURE.md, "Holds, and what page tables cost").
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fstream>
#include <iostream>
#include <set>
#include <thread>

#include "test/kvm_glue/tiny_guest.hpp"

namespace vsmp::kvm {
namespace {

using test::TinyGuest;
using test::TinyVm;

// TinyGuest's page tables, one page for each of three levels, and a page that the test writes to.
constexpr std::uint64_t kTables = 0x2000, kWritten = 0x5000, kEnd = 0x6000;

enum class Walks { only_read, write_too };

// AMD: a nested walk treats guest page tables as written (APM vol. 2, 15.25.6). Intel: it does when
// EPT has accessed and dirty flags (SDM vol. 3C, 29.3.2). Shadow paging never walks them in
// hardware.
Walks expected_walks() {
    const Facts facts = probe();
    if (facts.paging == Paging::shadow) return Walks::only_read;
    if (facts.kvm_module == "kvm_amd") return Walks::write_too;
    char eptad = 'Y';
    std::ifstream("/sys/module/kvm_intel/parameters/eptad") >> eptad;
    return eptad == 'Y' ? Walks::write_too : Walks::only_read;
}

// Write-protects a range and lets writers go on once they are noted.
class WriteWatch {
  public:
    explicit WriteWatch(std::span<std::byte> range)
        : range_(range), fd_(static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK))) {
        uffdio_api api{};
        api.api = UFFD_API;
        api.features = UFFD_FEATURE_PAGEFAULT_FLAG_WP;
        EXPECT_EQ(::ioctl(fd_.get(), UFFDIO_API, &api), 0);
        uffdio_register area{};
        area.range = {address(range_.data()), range_.size()};
        area.mode = UFFDIO_REGISTER_MODE_WP;
        EXPECT_EQ(::ioctl(fd_.get(), UFFDIO_REGISTER, &area), 0);
        protect(area.range, UFFDIO_WRITEPROTECT_MODE_WP);
    }

    // Serves until `stop` is readable. The offsets, in the range, of the pages that were written.
    std::set<std::uint64_t> serve(int stop) {
        std::set<std::uint64_t> written;
        pollfd ready[] = {{fd_.get(), POLLIN, 0}, {stop, POLLIN, 0}};
        while (::poll(ready, 2, -1) > 0 && ready[1].revents == 0) {
            uffd_msg message{};
            if (::read(fd_.get(), &message, sizeof message) != ssize_t{sizeof message}) continue;
            const std::uint64_t page =
                message.arg.pagefault.address & ~std::uint64_t{kPageSize - 1};
            written.insert(page - address(range_.data()));
            protect({page, kPageSize}, 0);
        }
        return written;
    }

  private:
    static std::uint64_t address(const std::byte* byte) {
        return reinterpret_cast<std::uint64_t>(byte);
    }
    void protect(uffdio_range range, std::uint64_t mode) const {
        uffdio_writeprotect request{};
        request.range = range;
        request.mode = mode;
        EXPECT_EQ(::ioctl(fd_.get(), UFFDIO_WRITEPROTECT, &request), 0);
    }

    std::span<std::byte> range_;
    UniqueFd fd_;
};

TEST(PageWalk, WritesToPageTablesWhereTheProcessorSaysSo) {
    VSMP_NEEDS_KVM();
    TinyVm tiny;
    // mov rax,[0x800000]; mov [0x5000],rax; hlt. All accessed and dirty bits are set already.
    tiny.guest.code(TinyGuest::kCode, {0x48, 0x8b, 0x04, 0x25, 0x00, 0x00, 0x80, 0x00, 0x48, 0x89,
                                       0x04, 0x25, 0x00, 0x50, 0x00, 0x00, 0xf4});
    Vcpu vcpu = tiny.vcpu(VcpuId(0), TinyGuest::kCode);
    WriteWatch watch{tiny.guest.memory().subspan(kTables, kEnd - kTables)};
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const UniqueFd stopped{ends[0]}, stop{ends[1]};
    std::set<std::uint64_t> written;
    std::thread server([&] { written = watch.serve(stopped.get()); });
    const Exit exit = vcpu.run();
    ASSERT_EQ(::write(stop.get(), "", 1), 1);
    server.join();
    ASSERT_TRUE(std::holds_alternative<HltExit>(exit)) << exit.index();
    EXPECT_EQ(written.erase(kWritten - kTables), 1u) << "a plain write goes unnoticed";
    std::cout << probe().kvm_module << ": page walks wrote to " << written.size()
              << " of its 3 page-table pages\n";
    const bool expected = expected_walks() == Walks::write_too;
    EXPECT_EQ(written.size(), expected ? 3u : 0u);
}

}  // namespace
}  // namespace vsmp::kvm
