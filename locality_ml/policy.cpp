#include "locality_ml/policy.hpp"

#include <string>

namespace vsmp::locality {
namespace {

class AlwaysFetch final : public Policy {
  public:
    Decision decide(const RemoteFault&) override { return Fetch{}; }
    void on_moved(VcpuId, Instant) override {}
};

struct NamedPolicy {
    std::string_view name;
    std::unique_ptr<Policy> (*make)();
};
constexpr NamedPolicy kPolicies[] = {
    {"always-fetch", make_always_fetch},
    {"threshold", [] { return make_threshold({}); }},
};

}  // namespace

std::unique_ptr<Policy> make_always_fetch() {
    return std::make_unique<AlwaysFetch>();
}

Result<std::unique_ptr<Policy>> make_policy(std::string_view name) {
    std::string known;
    for (const NamedPolicy& policy : kPolicies) {
        if (policy.name == name) return policy.make();
        known += (known.empty() ? "" : ", ") + std::string{policy.name};
    }
    return Error{.message = "unknown policy '" + std::string{name} + "' (known: " + known + ")"};
}

}  // namespace vsmp::locality
