// UDP and TCP, and rings in shared memory.
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <new>
#include <vector>

#include "dpdk_transport/bench/wire.hpp"

namespace vsmp::fabric {
namespace {

constexpr std::size_t kLargest = 9216;
constexpr std::size_t kBurst = 32;

class UdpWire final : public Wire {
  public:
    explicit UdpWire(UniqueFd socket) : socket_(std::move(socket)), buffer_(kLargest) {}
    std::string name() const override { return "udp"; }
    Delivery delivery() const override { return Delivery::lossy; }

    bool send(ByteView message) override {
        return ::send(socket_.get(), message.data(), message.size(), MSG_DONTWAIT) >= 0;
    }
    std::size_t poll(const Receive& receive) override {
        std::size_t count = 0;
        for (; count < kBurst; ++count) {
            const ssize_t got = ::recv(socket_.get(), buffer_.data(), buffer_.size(), MSG_DONTWAIT);
            if (got < 0) break;
            receive(ByteView{buffer_}.first(static_cast<std::size_t>(got)));
        }
        return count;
    }
    int wakeup_fd() const override { return socket_.get(); }

  private:
    UniqueFd socket_;
    std::vector<std::byte> buffer_;
};

// Messages of one size, one system call each, as the fabric's callers would use it.
class TcpWire final : public Wire {
  public:
    explicit TcpWire(UniqueFd socket) : socket_(std::move(socket)), input_(16 * kLargest) {}
    std::string name() const override { return "tcp"; }
    Delivery delivery() const override { return Delivery::reliable; }
    void begin(std::size_t message_size) override {
        VSMP_CHECK(filled_ == 0 && rest_.empty(), "between messages");
        size_ = message_size;
    }

    bool send(ByteView message) override {
        if (!send_rest()) return false;
        const ssize_t put = ::send(socket_.get(), message.data(), message.size(), MSG_DONTWAIT);
        if (put < 0) return false;
        const auto tail = message.subspan(static_cast<std::size_t>(put));
        rest_.assign(tail.begin(), tail.end());
        return true;
    }
    std::size_t poll(const Receive& receive) override {
        send_rest();
        // As many messages as a port brings: more at once would make whole chunks arrive in no
        // time.
        const std::size_t most = std::min(input_.size(), kBurst * size_) - filled_;
        const ssize_t got = ::recv(socket_.get(), input_.data() + filled_, most, MSG_DONTWAIT);
        if (got <= 0) return 0;
        filled_ += static_cast<std::size_t>(got);
        std::size_t at = 0;
        for (; filled_ - at >= size_; at += size_) receive(ByteView{input_}.subspan(at, size_));
        std::memmove(input_.data(), input_.data() + at, filled_ - at);
        filled_ -= at;
        return 1;
    }
    bool settled() const override { return rest_.empty(); }
    int wakeup_fd() const override { return socket_.get(); }

  private:
    bool send_rest() {
        if (rest_.empty()) return true;
        const ssize_t put = ::send(socket_.get(), rest_.data(), rest_.size(), MSG_DONTWAIT);
        if (put > 0) rest_.erase(rest_.begin(), rest_.begin() + put);
        return rest_.empty();
    }

    UniqueFd socket_;
    std::size_t size_ = kLargest;
    std::vector<std::byte> input_;
    std::size_t filled_ = 0;
    std::vector<std::byte> rest_;
};

constexpr std::size_t kSlots = 256;

struct Slot {
    std::uint32_t size;
    std::byte bytes[kLargest];
};
struct Ring {
    alignas(64) std::atomic<std::uint64_t> head;  // written so far
    alignas(64) std::atomic<std::uint64_t> tail;  // read so far
    alignas(64) Slot slots[kSlots];
};

}  // namespace

class SharedRings {
  public:
    explicit SharedRings(Mapping memory) : memory_(std::move(memory)) {}
    // What `self` writes to. Fresh pages are zero, and so are empty rings.
    Ring& ring(int self) { return reinterpret_cast<Ring*>(memory_.data())[self]; }

  private:
    Mapping memory_;
};

namespace {

class SharedMemoryWire final : public Wire {
  public:
    SharedMemoryWire(std::shared_ptr<SharedRings> rings, int self)
        : rings_(std::move(rings)), out_(rings_->ring(self)), in_(rings_->ring(1 - self)) {}
    std::string name() const override { return "shared_memory"; }
    Delivery delivery() const override { return Delivery::reliable; }

    bool send(ByteView message) override {
        const std::uint64_t head = out_.head.load(std::memory_order_relaxed);
        if (head - out_.tail.load(std::memory_order_acquire) == kSlots) return false;
        Slot& slot = out_.slots[head % kSlots];
        slot.size = static_cast<std::uint32_t>(message.size());
        std::memcpy(slot.bytes, message.data(), message.size());
        out_.head.store(head + 1, std::memory_order_release);
        return true;
    }
    std::size_t poll(const Receive& receive) override {
        std::size_t count = 0;
        std::uint64_t tail = in_.tail.load(std::memory_order_relaxed);
        const std::uint64_t head = in_.head.load(std::memory_order_acquire);
        for (; tail < head && count < kBurst; ++tail, ++count) {
            const Slot& slot = in_.slots[tail % kSlots];
            std::memcpy(copy_.data(), slot.bytes, slot.size);  // somebody wants it somewhere else
            receive(ByteView{copy_}.first(slot.size));
            in_.tail.store(tail + 1, std::memory_order_release);
        }
        return count;
    }
    int wakeup_fd() const override { return -1; }

  private:
    std::shared_ptr<SharedRings> rings_;
    Ring& out_;
    Ring& in_;
    std::vector<std::byte> copy_ = std::vector<std::byte>(kLargest);
};

}  // namespace

Result<std::shared_ptr<SharedRings>> make_shared_rings() {
    VSMP_TRY_ASSIGN(Mapping memory, Mapping::shared(-1, 2 * sizeof(Ring)));
    return std::make_shared<SharedRings>(std::move(memory));
}

std::unique_ptr<Wire> udp_wire(UniqueFd socket) {
    return std::make_unique<UdpWire>(std::move(socket));
}
std::unique_ptr<Wire> tcp_wire(UniqueFd socket) {
    return std::make_unique<TcpWire>(std::move(socket));
}
std::unique_ptr<Wire> shared_memory_wire(std::shared_ptr<SharedRings> rings, int self) {
    return std::make_unique<SharedMemoryWire>(std::move(rings), self);
}

}  // namespace vsmp::fabric
