// The seam for frames that are not copied: memory of a port's in which a message is put together
// once, sent from, and kept until it is acknowledged. Implementations are ports'
// (Port::frame_store()); who has none copies.
#pragma once

#include <cstddef>
#include <utility>

namespace vsmp::fabric {

class FrameStore {
  public:
    // `payload` has room for kMaxPayload bytes, and kHeaderRoom bytes in front of it belong to it.
    struct Slot {
        void* handle = nullptr;
        std::byte* payload = nullptr;
    };
    static constexpr std::size_t kHeaderRoom = 128;

    virtual ~FrameStore() = default;
    // An empty slot when there is none to spare.
    virtual Slot take() = 0;
    virtual void give_back(void* handle) = 0;
};

// Smaller messages are copied: that is cheaper than to keep a frame.
inline constexpr std::size_t kWorthKeeping = 1024;

// A slot that is given back.
class KeptFrame {
  public:
    KeptFrame() = default;
    explicit KeptFrame(FrameStore& store) : store_(&store), slot_(store.take()) {}
    KeptFrame(KeptFrame&& other) noexcept
        : store_(other.store_), slot_(std::exchange(other.slot_, {})) {}
    KeptFrame& operator=(KeptFrame&& other) noexcept {
        std::swap(store_, other.store_);
        std::swap(slot_, other.slot_);
        return *this;
    }
    ~KeptFrame() { release(); }

    void release() {
        if (slot_.handle != nullptr) store_->give_back(std::exchange(slot_, {}).handle);
    }
    explicit operator bool() const { return slot_.handle != nullptr; }
    const FrameStore* store() const { return store_; }
    void* handle() const { return slot_.handle; }
    std::byte* payload() const { return slot_.payload; }

  private:
    FrameStore* store_ = nullptr;
    FrameStore::Slot slot_;
};

}  // namespace vsmp::fabric
