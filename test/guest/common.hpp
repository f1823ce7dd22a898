// What the test guest's programs have in common.
#pragma once

#include <sched.h>

#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>

// xorshift64* (Vigna 2016): the same numbers everywhere, from a seed.
class Generator {
  public:
    explicit Generator(std::uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15u + 1) {}
    std::uint64_t next() {
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return state_ * 0x2545F4914F6CDD1Du;
    }

  private:
    std::uint64_t state_;
};

inline std::optional<unsigned> parse(std::string_view text) {
    unsigned value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

// This thread runs on `cpu` alone from now on.
inline bool run_on_cpu(unsigned cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    return sched_setaffinity(0, sizeof set, &set) == 0;
}
