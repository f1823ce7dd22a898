// What the two ends of a measurement share: memory mapped before they part. They run the same list
// of jobs, meet before each, and tell each other how far they are without using the wire.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include "dpdk_transport/core/mac.hpp"
#include "proto/fd.hpp"
#include "proto/result.hpp"

namespace vsmp::fabric {

class Meeting {
  public:
    // Zeros are a valid start: it lives in fresh anonymous memory.
    struct Shared {
        std::array<std::atomic<std::uint32_t>, 2> arrivals;
        std::atomic<std::uint32_t> failed;
        // One job's; cleared by begin_job().
        std::atomic<std::uint32_t> done;            // the end with the clock has what it wants
        std::atomic<std::uint64_t> sent;            // valid once done
        std::atomic<std::uint64_t> received;        // highest sequence that arrived, + 1
        std::atomic<std::uint64_t> messages, lost;  // at the receiver, once it has left the job
        std::array<std::atomic<std::uint64_t>, 2> cpu_ns;
        static constexpr std::size_t kMaxChunks = 8192;
        std::atomic<std::uint32_t> chunks;
        std::array<std::uint32_t, kMaxChunks> chunk_ns;
        // Set up once.
        std::array<std::atomic<std::uint64_t>, 2> mac;
        std::atomic<std::uint32_t> tcp_port, udp_port;
    };

    static Result<std::shared_ptr<Shared>> make_shared();
    Meeting(std::shared_ptr<Shared> shared, int self) : shared_(std::move(shared)), self_(self) {}

    // Waits, asleep, for the other end. An error when it has failed or does not come for 60 s.
    Result<> meet();
    // meet(), with what belongs to one job cleared in between.
    Result<> begin_job();
    void fail() { shared_->failed = 1; }
    int self() const { return self_; }
    // The same at both ends, and different in each job.
    std::uint64_t job() const { return count_; }
    Shared& shared() { return *shared_; }

    Result<MacAddress> exchange_mac(const MacAddress& own);

  private:
    std::shared_ptr<Shared> shared_;
    int self_;
    std::uint32_t count_ = 0;
};

}  // namespace vsmp::fabric
