#include "dpdk_transport/core/send_queue.hpp"

#include <algorithm>

namespace vsmp::fabric {
namespace {

// After so many urgent segments one of bulk goes, if one waits: urgent is first, not alone.
constexpr std::size_t kUrgentPerBulk = 16;
// Free messages that keep their buffer.
constexpr std::size_t kWarmBuffers = 256;

}  // namespace

bool SendQueue::push(Channel channel, ByteView head, ByteView body) {
    if (size_ >= limit_) return false;
    if (free_.empty()) {
        free_.push_back(static_cast<std::uint32_t>(messages_.size()));
        messages_.emplace_back();
    }
    const std::uint32_t index = free_.back();
    free_.pop_back();
    Message& message = messages_[index];
    message.channel = channel;
    message.in_use = 1;
    message.bytes.clear();
    message.bytes.reserve(head.size() + body.size());
    message.bytes.insert(message.bytes.end(), head.begin(), head.end());
    message.bytes.insert(message.bytes.end(), body.begin(), body.end());
    line(urgency_of(stream_of(channel))).push_back({index, 0});
    ++size_;
    return true;
}

void SendQueue::clear() {
    for (auto& line : lines_) line.clear();
    messages_.clear();
    free_.clear();
    size_ = 0;
}

std::optional<Urgency> SendQueue::pick(Admit admit) const {
    if (admit == Admit::none) return std::nullopt;
    if (!line(Urgency::node).empty()) return Urgency::node;
    const bool bulk = admit == Admit::all && !line(Urgency::bulk).empty();
    const bool bulk_first = bulk && urgent_in_a_row_ >= kUrgentPerBulk;
    if (!line(Urgency::urgent).empty() && !bulk_first) return Urgency::urgent;
    if (bulk) return Urgency::bulk;
    return std::nullopt;
}

std::optional<SendQueue::Segment> SendQueue::next(Admit admit, std::size_t largest) const {
    const auto urgency = pick(admit);
    if (!urgency) return std::nullopt;
    const Waiting& first = line(*urgency).front();
    const Message& message = messages_[first.message];
    const std::size_t rest = message.bytes.size() - first.offset;
    return Segment{first.message, message.channel, first.offset,
                   static_cast<std::uint16_t>(std::min(rest, largest)),
                   static_cast<std::uint16_t>(message.bytes.size())};
}

void SendQueue::take(const Segment& segment) {
    const Urgency urgency = urgency_of(stream_of(segment.channel));
    urgent_in_a_row_ = urgency == Urgency::bulk ? 0 : urgent_in_a_row_ + 1;
    Waiting& first = line(urgency).front();
    VSMP_CHECK(first.message == segment.message && first.offset == segment.offset,
               "not the segment that is next");
    ++messages_[first.message].in_use;
    first.offset = static_cast<std::uint16_t>(first.offset + segment.size);
    if (first.offset < segment.total) return;
    line(urgency).pop_front();
    --size_;
    release_message(segment.message);
}

ByteView SendQueue::bytes(const Segment& segment) const {
    return ByteView{messages_[segment.message].bytes}.subspan(segment.offset, segment.size);
}

void SendQueue::release(const Segment& segment) {
    release_message(segment.message);
}

void SendQueue::release_message(std::uint32_t index) {
    Message& message = messages_[index];
    VSMP_CHECK(message.in_use > 0, "released twice");
    if (--message.in_use > 0) return;
    if (free_.size() >= kWarmBuffers) message.bytes = {};
    free_.push_back(index);
}

}  // namespace vsmp::fabric
