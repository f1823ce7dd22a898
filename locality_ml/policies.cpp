#include "locality_ml/policies.hpp"

#include <string>

namespace vsmp::locality {
namespace {

struct NamedPolicy {
    std::string_view name;
    std::unique_ptr<Policy> (*make)(const PolicySetup&);
};
constexpr NamedPolicy kPolicies[] = {
    {"always-fetch", [](const PolicySetup&) { return make_always_fetch(); }},
    {"always-ship", [](const PolicySetup&) { return make_always_ship({}); }},
    {"learned", make_learned},
    {"threshold", [](const PolicySetup&) { return make_threshold({}); }},
};

}  // namespace

Result<std::unique_ptr<Policy>> make_policy(std::string_view name, const PolicySetup& setup) {
    std::string known;
    for (const NamedPolicy& policy : kPolicies) {
        if (policy.name == name) return policy.make(setup);
        known += (known.empty() ? "" : ", ") + std::string{policy.name};
    }
    return Error{.message = "unknown policy '" + std::string{name} + "' (known: " + known + ")"};
}

}  // namespace vsmp::locality
