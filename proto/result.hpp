// Errors are values that carry the operation that failed.
#pragma once

#include <cerrno>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "proto/check.hpp"

namespace vsmp {

// One line for a person. `system` is an errno value, or 0 where no system call was involved.
struct [[nodiscard]] Error {  // NOLINT(clang-analyzer-core.*): it loses track in std::variant
    std::string message;
    int system = 0;

    static Error from_errno(std::string operation, int code = errno);
    Error in(const std::string& context) const { return {context + ": " + message, system}; }
};

// A T or an Error. g++ 12 has no std::expected; this has its shape, as far as it is used here.
template <class T = void>
class [[nodiscard]] Result {
  public:
    Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

    explicit operator bool() const { return state_.index() == 0; }
    T& operator*() & { return get(); }
    const T& operator*() const& { return const_cast<Result*>(this)->get(); }
    T&& operator*() && { return std::move(get()); }
    T* operator->() { return &get(); }
    const T* operator->() const { return &const_cast<Result*>(this)->get(); }
    const Error& error() const& {
        VSMP_CHECK(state_.index() == 1, "error() of a good result");
        return std::get<1>(state_);
    }

  private:
    T& get() {
        VSMP_CHECK(state_.index() == 0, std::get<1>(state_).message);
        return std::get<0>(state_);
    }
    std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
  public:
    Result() = default;
    Result(Error error) : error_(std::move(error)) {}

    explicit operator bool() const { return !error_.has_value(); }
    const Error& error() const& {
        VSMP_CHECK(error_.has_value(), "error() of a good result");
        return *error_;
    }

  private:
    std::optional<Error> error_;
};

}  // namespace vsmp

// VSMP_TRY(call());                 returns the error of a Result<void>, or goes on
// VSMP_TRY_ASSIGN(auto x, call());  the same, and keeps the value
#define VSMP_TRY(expression)                          \
    do {                                              \
        auto vsmp_result = (expression);              \
        if (!vsmp_result) return vsmp_result.error(); \
    } while (false)
#define VSMP_CONCAT_(a, b) a##b
#define VSMP_CONCAT(a, b) VSMP_CONCAT_(a, b)
#define VSMP_TRY_ASSIGN(declaration, expression) \
    VSMP_TRY_ASSIGN_(VSMP_CONCAT(vsmp_result_, __LINE__), declaration, expression)
#define VSMP_TRY_ASSIGN_(name, declaration, expression) \
    auto name = (expression);                           \
    if (!name) return name.error();                     \
    declaration = *std::move(name)
