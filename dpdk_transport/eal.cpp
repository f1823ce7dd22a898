#include "dpdk_transport/eal.hpp"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <sched.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <mutex>

#include "dpdk_transport/ports/pci_driver.hpp"

#ifdef __SANITIZE_THREAD__
// DPDK and libc's stdio are not instrumented: ThreadSanitizer sees accesses to what they share but
// not DPDK's spinlocks and the lock of the log's FILE.
extern "C" const char* __tsan_default_suppressions() {
    return "race:librte_\nrace:vsmp::fabric::Eal::Log::write\n";
}
#endif

namespace vsmp::fabric {
namespace {

std::string joined_cpus(const cpu_set_t& cpus) {
    std::string list;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
        if (CPU_ISSET(cpu, &cpus)) list += (list.empty() ? "" : ",") + std::to_string(cpu);
    return list;
}

struct PciNeeds {
    bool physical_addresses = false;  // the driver has no IOMMU: hugepages are needed
};

Result<PciNeeds> check_pci(const std::vector<std::string>& addresses) {
    PciNeeds needs;
    for (const std::string& address : addresses) {
        VSMP_TRY_ASSIGN(const PciDriver driver, pci_driver(address));
        needs.physical_addresses = needs.physical_addresses || driver == PciDriver::uio;
    }
    return needs;
}

Result<> check_hugepages() {
    std::ifstream file{"/proc/sys/vm/nr_hugepages"};
    long pages = 0;
    if (file >> pages && pages > 0) return {};
    return Error{"PCI devices under uio_pci_generic need hugepages: set vm.nr_hugepages"};
}

Result<std::vector<std::string>> arguments(const EalOptions& options, const cpu_set_t& cpus) {
    VSMP_TRY_ASSIGN(const PciNeeds needs, check_pci(options.pci_devices));
    std::vector<std::string> list{"vsmp", "--no-telemetry", "--log-level=5", "-m",
                                  std::to_string(options.memory_mib)};
    // One lcore that floats over all CPUs: `-l 0` would pin this thread and all it starts.
    list.insert(list.end(), {"--lcores", "0@(" + joined_cpus(cpus) + ")"});
    if (needs.physical_addresses) {
        VSMP_TRY(check_hugepages());
        list.insert(list.end(), {"--in-memory", "--iova-mode=pa"});
    } else {
        list.insert(list.end(), {"--no-huge", "--no-shconf", "--iova-mode=va"});
    }
    // Without it EAL would take hold of the host's own NICs.
    if (options.pci_devices.empty()) list.push_back("--no-pci");
    for (const std::string& address : options.pci_devices) list.insert(list.end(), {"-a", address});
    return list;
}

}  // namespace

// Keeps DPDK's log away from the user's terminal and the first line, the cause, for our errors.
class Eal::Log {
  public:
    Log() {
        const cookie_io_functions_t functions{nullptr, &Log::write, nullptr, nullptr};
        stream_ = ::fopencookie(this, "w", functions);
        VSMP_CHECK(stream_ != nullptr, "fopencookie");
        ::setvbuf(stream_, nullptr, _IOLBF, 0);
        rte_openlog_stream(stream_);
    }
    ~Log() {
        rte_openlog_stream(nullptr);
        std::fclose(stream_);
    }
    Log(const Log&) = delete;
    Log& operator=(const Log&) = delete;

    std::string take() {
        const std::lock_guard lock{mutex_};
        return std::exchange(line_, {});
    }

  private:
    static ssize_t write(void* cookie, const char* text, std::size_t size) {
        auto& log = *static_cast<Log*>(cookie);
        std::string line{text, size};
        while (!line.empty() && line.back() == '\n') line.pop_back();
        const std::lock_guard lock{log.mutex_};
        if (log.line_.empty()) log.line_ = line.substr(0, line.find('\n'));
        return static_cast<ssize_t>(size);
    }

    std::FILE* stream_;
    std::mutex mutex_;
    std::string line_;
};

Eal::Eal(std::unique_ptr<Log> log) : log_(std::move(log)) {}

std::string Eal::take_log_line() {
    return log_->take();
}

Result<std::shared_ptr<Eal>> Eal::start(const EalOptions& options) {
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    if (::sched_getaffinity(0, sizeof cpus, &cpus) != 0)
        return Error::from_errno("sched_getaffinity");
    VSMP_TRY_ASSIGN(std::vector<std::string> list, arguments(options, cpus));
    std::vector<char*> argv;
    for (std::string& argument : list) argv.push_back(argument.data());

    // A fact about the process that DPDK keeps in globals of its own; it says so only on stderr.
    static std::atomic<bool> started{false};
    if (started.exchange(true))
        return Error{"DPDK can be started only once in a process", EALREADY};
    std::signal(SIGPIPE, SIG_IGN);
    std::shared_ptr<Eal> eal{new Eal{std::make_unique<Log>()}};
    const int parsed = rte_eal_init(static_cast<int>(argv.size()), argv.data());
    const int code = rte_errno;
    ::sched_setaffinity(0, sizeof cpus, &cpus);
    if (parsed < 0) {
        const std::string line = eal->take_log_line();
        return Error{"DPDK does not start: " + (line.empty() ? rte_strerror(code) : line), code};
    }
    return eal;
}

Eal::~Eal() {
    rte_eal_cleanup();
}

}  // namespace vsmp::fabric
