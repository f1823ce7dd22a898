// Performs transitions on a world, by the product's own step functions; the first thing that goes
// wrong sticks in problem().
#pragma once

#include "world.hpp"

namespace vsmp::coherence::model {

class Performer {
  public:
    Performer(const Model& model, World& world) : model_(model), world_(world) {}

    void deliver(std::size_t position);
    void report_fault(std::size_t vcpu);
    void attempt(std::size_t vcpu);
    void end_hold(std::size_t node, std::size_t page);
    void end_holds_of(std::size_t vcpu);
    void evict(std::size_t node, std::size_t page);
    void discard(std::size_t node, std::size_t page);
    void take_home(std::size_t page);
    void prefetch(std::size_t node, std::size_t page, Access access);
    const char* problem() const { return problem_; }

  private:
    void send(std::size_t from, std::size_t to, const Message& message);
    void directory(std::size_t node, const InFlight& message);
    void local(std::size_t node, std::size_t page, const LocalEvent& event, bool contents_current);
    void wake(std::size_t node, std::size_t page);
    void start_hold(std::size_t node, std::size_t page, std::uint8_t claimants);
    void let_go(std::size_t vcpu, std::size_t page);
    void execute(std::size_t node, const Instruction& instruction);
    void write(std::size_t node, std::size_t page);

    const Model& model_;
    World& world_;
    const char* problem_ = nullptr;
};

}  // namespace vsmp::coherence::model
