// Visits every state of a model, breadth first, and says what is wrong first of all, if anything.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "state_store.hpp"

namespace vsmp::coherence::model {

struct Finding {
    std::uint64_t states = 0;
    std::uint64_t transitions = 0;
    std::uint64_t ends = 0;          // states in which all is done
    std::size_t most_in_flight = 0;  // messages
    std::string problem;             // empty: none
    std::vector<std::string> path;   // that leads to the problem
};
std::ostream& operator<<(std::ostream& out, const Finding& finding);

class Explorer {
  public:
    explicit Explorer(const Model& model) : model_(model) {}
    Finding explore();

  private:
    bool visit(StateStore::Index index);
    void check_acyclic();
    std::vector<StateStore::Index> successors(StateStore::Index index);
    std::string describe_edge(StateStore::Index from, StateStore::Index to);
    void fail(const char* problem, StateStore::Index at, const Transition* last);

    Model model_;
    StateStore store_;
    Finding finding_;
    std::vector<Transition> transitions_;
};

}  // namespace vsmp::coherence::model
