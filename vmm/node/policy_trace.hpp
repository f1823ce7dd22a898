// Recording what a node's policy is told and decides: on when the environment names a directory in
// VSMP_LOCALITY_TRACE, as `tools/dev locality record` does for what it starts.
#pragma once

#include <memory>

#include "locality_ml/policy.hpp"
#include "proto/result.hpp"

namespace vsmp {

// `policy` itself, or with recording around it to DIRECTORY/node-N.trace, which is overwritten. The
// policies that a node is given later have files of their own: DIRECTORY/node-N.ORDINAL.trace with
// the second one's ordinal 2.
Result<std::unique_ptr<locality::Policy>> record_if_asked(std::unique_ptr<locality::Policy> policy,
                                                          const locality::PolicySetup& setup,
                                                          const std::string& name,
                                                          unsigned ordinal);

}  // namespace vsmp
