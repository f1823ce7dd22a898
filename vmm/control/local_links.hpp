// Links between the nodes of one machine, made for 'auto' links and gone when their owner is.
//
// With the right to make a network namespace: one veth pair for two nodes, a bridge for more, in
// a namespace without a name that the nodes run in. The kernel removes all of it when the last of
// them ends, even if vsmp-run is killed. Without that right: a vhost-user pair, for two nodes.
#pragma once

#include <optional>
#include <string>

#include "proto/fd.hpp"
#include "proto/result.hpp"
#include "vmm/config/guest_config.hpp"

namespace vsmp::control {

class LocalLinks {
  public:
    // Replaces the AutoLinks of `guest`; does nothing for one node or without AutoLinks. Calling
    // thread: must be the process's only one (it changes its network namespace for a moment).
    static Result<LocalLinks> create(GuestConfig& guest);
    LocalLinks(LocalLinks&&) = default;
    ~LocalLinks();

    // What nodes have to be started in; -1: nothing special.
    int net_namespace() const { return net_namespace_ ? net_namespace_.get() : -1; }
    // A remark for the user, or empty.
    const std::string& remark() const { return remark_; }

  private:
    LocalLinks() = default;
    static Result<LocalLinks> with_veth(GuestConfig& guest, UniqueFd own_namespace);
    static Result<LocalLinks> with_vhost_user(GuestConfig& guest, const std::string& remark);

    struct Directory {  // removed with what is in it
        std::string path;
        explicit Directory(std::string p) : path(std::move(p)) {}
        Directory(Directory&& other) noexcept : path(std::exchange(other.path, {})) {}
        ~Directory();
    };
    UniqueFd net_namespace_;
    std::optional<Directory> directory_;
    std::string remark_;
};

// The commands for `ip -batch`: interfaces vsmp0..vsmpN-1, N >= 2, one a node, joined at
// 9000-byte MTU.
std::string link_commands(std::size_t nodes);

}  // namespace vsmp::control
