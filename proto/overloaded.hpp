// A visitor of a std::variant made of one lambda for each alternative.
#pragma once

namespace vsmp {

template <class... Handlers>
struct Overloaded : Handlers... {
    using Handlers::operator()...;
};
// Compilers that follow C++17 here (clang until 16) need it said.
template <class... Handlers>
Overloaded(Handlers...) -> Overloaded<Handlers...>;

}  // namespace vsmp
