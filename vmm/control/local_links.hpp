// Links between the nodes of one machine, made for 'auto' links and gone when their owner is.
//
// Where interfaces can be made and used: one veth pair for two nodes, a bridge for more, in
// a namespace without a name that the nodes run in. The kernel removes all of it when the last of
// them ends, even if vsmp-run is killed. Elsewhere: a vhost-user pair, for two nodes.
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
    // Which kind of link it became, and why not the better one; empty without AutoLinks.
    const std::string& remark() const { return remark_; }

  private:
    LocalLinks() = default;
    static Result<LocalLinks> with_interfaces(GuestConfig& guest);
    static Result<LocalLinks> with_vhost_user(GuestConfig& guest, const std::string& reason);

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

// The commands for `ip -batch` that make link number `link` of each of N >= 2 nodes, joined at
// 9000-byte MTU: vsmp0..vsmpN-1, or vsmp0-LINK.. for those that are not the first.
std::string link_commands(std::size_t nodes, std::size_t link = 0);

}  // namespace vsmp::control
