// Messages that wait to be sent to one peer, by urgency, and their cutting into segments. Buffers
// are used again: no allocation per message once the link has warmed up.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "dpdk_transport/core/frame_store.hpp"
#include "dpdk_transport/core/stream.hpp"
#include "proto/bytes.hpp"

namespace vsmp::fabric {

class SendQueue {
  public:
    // `store` may be null and outlives the queue: large messages are copied there as long as it has
    // room, instead of elsewhere.
    SendQueue(std::size_t limit, FrameStore* store) : limit_(limit), store_(store) {}
    SendQueue(const SendQueue&) = delete;
    SendQueue& operator=(const SendQueue&) = delete;
    SendQueue(SendQueue&&) = default;
    SendQueue& operator=(SendQueue&&) = default;
    ~SendQueue() = default;

    // False: the queue is full, nothing was taken.
    bool push(Channel channel, ByteView head, ByteView body);
    // The message of `size` bytes is in the slot already.
    bool push(Channel channel, KeptFrame message, std::size_t size);
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
    bool has_next(Admit admit) const { return pick(admit) != Line::none; }
    // The next piece of at most `largest` bytes, if there is one.
    bool next(Admit admit, std::size_t largest, Segment& segment) const;
    // The piece that next() shows leaves the queue.
    void take(const Segment& segment);

    ByteView bytes(const Segment& segment) const {
        return {messages_[segment.message].bytes + segment.offset, segment.size};
    }
    // The slot that has the message; empty when it is elsewhere.
    const KeptFrame& kept(const Segment& segment) const { return messages_[segment.message].kept; }
    void release(const Segment& segment) { release_message(segment.message); }

  private:
    struct Message {
        Channel channel{};
        std::uint16_t size = 0;
        std::uint32_t in_use = 0;  // segments taken and not released, and one while it waits
        const std::byte* bytes = nullptr;  // in `kept` or in `own`
        KeptFrame kept;
        std::vector<std::byte> own;
    };
    struct Waiting {
        std::uint32_t message = 0;
        std::uint16_t offset = 0;  // where the next segment starts
    };

    std::uint32_t take_message();
    void add_message();
    void line_up(std::uint32_t index, Channel channel, std::size_t size);
    enum class Line : std::uint8_t { node, urgent, bulk, none };
    static Line line_of(Channel channel);
    Line pick(Admit admit) const;
    std::deque<Waiting>& line(Line l) { return lines_[static_cast<std::size_t>(l)]; }
    const std::deque<Waiting>& line(Line l) const { return lines_[static_cast<std::size_t>(l)]; }
    void release_message(std::uint32_t message);

    std::size_t limit_;
    FrameStore* store_;
    std::size_t size_ = 0;
    std::array<std::deque<Waiting>, kUrgencies> lines_;
    std::size_t urgent_in_a_row_ = 0;
    std::vector<Message> messages_;
    std::vector<std::uint32_t> free_;
};

}  // namespace vsmp::fabric
