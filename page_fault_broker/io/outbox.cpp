#include "page_fault_broker/io/outbox.hpp"

#include <cstring>

namespace vsmp {

void Outbox::push(fabric::Fabric& fabric, NodeId to, const coherence::Message& message,
                  ByteView contents) {
    if (to != to_ || size_ + coherence::kMessageHeaderSize + contents.size() > bytes_.size())
        flush(fabric);
    to_ = to;
    ByteWriter writer{std::span{bytes_}.subspan(size_, coherence::kMessageHeaderSize)};
    coherence::encode(message, writer);
    size_ += writer.size();
    if (contents.empty()) return;
    // No further page would fit behind this one: off it goes, without another copy.
    if (size_ + 2 * contents.size() > bytes_.size()) {
        fabric.send(to_, fabric::Channel::coherence, std::span{bytes_}.first(size_), contents);
        size_ = 0;
        return;
    }
    std::memcpy(bytes_.data() + size_, contents.data(), contents.size());
    size_ += contents.size();
}

void Outbox::flush(fabric::Fabric& fabric) {
    if (size_ == 0) return;
    fabric.send(to_, fabric::Channel::coherence, std::span{bytes_}.first(size_));
    size_ = 0;
}

}  // namespace vsmp
