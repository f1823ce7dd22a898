#include "dpdk_transport/core/send_queue.hpp"

#include <algorithm>

namespace vsmp::fabric {
namespace {

// After so many urgent segments one of bulk goes, if one waits: urgent is first, not alone.
constexpr std::size_t kUrgentPerBulk = 16;
// Free messages that keep their buffer.
constexpr std::size_t kWarmBuffers = 256;

}  // namespace

SendQueue::Line SendQueue::line_of(Channel channel) {
    switch (urgency_of(stream_of(channel))) {
        case Urgency::node:
            return Line::node;
        case Urgency::urgent:
            return Line::urgent;
        case Urgency::bulk:
            return Line::bulk;
    }
    return Line::none;
}

void SendQueue::add_message() {
    free_.push_back(static_cast<std::uint32_t>(messages_.size()));
    messages_.emplace_back();
}

inline std::uint32_t SendQueue::take_message() {
    if (free_.empty()) [[unlikely]]
        add_message();
    const std::uint32_t index = free_.back();
    free_.pop_back();
    messages_[index].in_use = 1;
    return index;
}

inline void SendQueue::line_up(std::uint32_t index, Channel channel, std::size_t size) {
    Message& message = messages_[index];
    message.bytes = message.kept ? message.kept.payload() : message.own.data();
    message.channel = channel;
    message.size = static_cast<std::uint16_t>(size);
    line(line_of(channel)).push_back({index, 0});
    ++size_;
}

bool SendQueue::push(Channel channel, ByteView head, ByteView body) {
    if (size_ >= limit_) return false;
    const std::size_t size = head.size() + body.size();
    const std::uint32_t index = take_message();
    Message& message = messages_[index];
    if (store_ != nullptr && size >= kWorthKeeping) message.kept = KeptFrame{*store_};
    if (!message.kept && message.own.size() < size) message.own.resize(size);
    std::byte* to = message.kept ? message.kept.payload() : message.own.data();
    if (!head.empty()) std::memcpy(to, head.data(), head.size());
    if (!body.empty()) std::memcpy(to + head.size(), body.data(), body.size());
    line_up(index, channel, size);
    return true;
}

bool SendQueue::push(Channel channel, KeptFrame frame, std::size_t size) {
    if (size_ >= limit_) return false;
    const std::uint32_t index = take_message();
    messages_[index].kept = std::move(frame);
    line_up(index, channel, size);
    return true;
}

void SendQueue::clear() {
    for (auto& line : lines_) line.clear();
    messages_.clear();
    free_.clear();
    size_ = 0;
}

SendQueue::Line SendQueue::pick(Admit admit) const {
    if (admit == Admit::none) return Line::none;
    if (!line(Line::node).empty()) return Line::node;
    const bool bulk = admit == Admit::all && !line(Line::bulk).empty();
    const bool bulk_first = bulk && urgent_in_a_row_ >= kUrgentPerBulk;
    if (!line(Line::urgent).empty() && !bulk_first) return Line::urgent;
    if (bulk) return Line::bulk;
    return Line::none;
}

bool SendQueue::next(Admit admit, std::size_t largest, Segment& segment) const {
    const Line first_line = pick(admit);
    if (first_line == Line::none) return false;
    const Waiting& first = line(first_line).front();
    const Message& message = messages_[first.message];
    segment.message = first.message;
    segment.channel = message.channel;
    segment.offset = first.offset;
    const std::size_t rest = message.size - std::size_t{first.offset};
    segment.size = static_cast<std::uint16_t>(std::min(rest, largest));
    segment.total = message.size;
    return true;
}

void SendQueue::take(const Segment& segment) {
    const Line from = line_of(segment.channel);
    urgent_in_a_row_ = from == Line::bulk ? 0 : urgent_in_a_row_ + 1;
    Waiting& first = line(from).front();
    VSMP_CHECK(first.message == segment.message && first.offset == segment.offset,
               "not the segment that is next");
    ++messages_[first.message].in_use;
    first.offset = static_cast<std::uint16_t>(first.offset + segment.size);
    if (first.offset < segment.total) return;
    line(from).pop_front();
    --size_;
    release_message(segment.message);
}

void SendQueue::release_message(std::uint32_t index) {
    Message& message = messages_[index];
    VSMP_CHECK(message.in_use > 0, "released twice");
    if (--message.in_use > 0) return;
    message.kept.release();
    if (free_.size() >= kWarmBuffers) message.own = {};
    free_.push_back(index);
}

}  // namespace vsmp::fabric
