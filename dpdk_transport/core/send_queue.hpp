// Messages that wait to be sent to one peer, by urgency, and their cutting into segments. Buffers
// are used again: no allocation per message once the link has warmed up.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "dpdk_transport/core/stream.hpp"
#include "proto/bytes.hpp"

namespace vsmp::fabric {

class SendQueue {
  public:
    explicit SendQueue(std::size_t limit) : limit_(limit) {}

    // False: the queue is full, nothing was taken.
    bool push(Channel channel, ByteView head, ByteView body);
    void clear();
    std::size_t size() const { return size_; }

    // A piece of a message; its bytes stay until release().
    struct Segment {
        std::uint32_t message = 0;
        Channel channel{};
        std::uint16_t offset = 0, size = 0, total = 0;
    };
    // Which messages may go: bulk leaves room in the window for what is urgent.
    enum class Admit : std::uint8_t { none, all_but_bulk, all };
    // The next piece of at most `largest` bytes.
    std::optional<Segment> next(Admit admit, std::size_t largest) const;
    // The piece that next() shows leaves the queue.
    void take(const Segment& segment);

    ByteView bytes(const Segment& segment) const;
    void release(const Segment& segment);

  private:
    struct Message {
        Channel channel{};
        std::uint32_t in_use = 0;  // segments taken and not released, and one while it waits
        std::vector<std::byte> bytes;
    };
    struct Waiting {
        std::uint32_t message = 0;
        std::uint16_t offset = 0;  // where the next segment starts
    };

    std::optional<Urgency> pick(Admit admit) const;
    std::deque<Waiting>& line(Urgency u) { return lines_[static_cast<std::size_t>(u)]; }
    const std::deque<Waiting>& line(Urgency u) const { return lines_[static_cast<std::size_t>(u)]; }
    void release_message(std::uint32_t message);

    std::size_t limit_;
    std::size_t size_ = 0;
    std::array<std::deque<Waiting>, kUrgencies> lines_;
    std::size_t urgent_in_a_row_ = 0;
    std::vector<Message> messages_;
    std::vector<std::uint32_t> free_;
};

}  // namespace vsmp::fabric
