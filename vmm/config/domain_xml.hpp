// libvirt domain XML -> GuestConfig. docs/domain-xml.md is the reference of what is accepted.
//
// Everything in the file is either understood or refused: an element, attribute or value that
// vsmp would have to ignore is an error. Messages are "FILE:LINE: <ELEMENT>: what is wrong".
//
// Documents are at most kMaxDomainXmlBytes, must not have a DTD, and nothing is ever fetched.
// Any thread; no state is kept.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "proto/result.hpp"
#include "vmm/config/guest_config.hpp"

namespace vsmp::config {

inline constexpr std::size_t kMaxDomainXmlBytes = 1 << 20;

struct DomainXml {
    GuestConfig guest;
    std::vector<std::string> warnings;  // accepted, but not quite as written; one line each
};

// Our own checks of `xml`, without any file access. `file_name` is for messages.
Result<DomainXml> parse_domain_xml(std::string_view xml, const std::string& file_name);

// Reads `path` and checks it with parse_domain_xml, then against libvirt's own schema where that
// is installed; where it is not, a warning says so.
Result<DomainXml> read_domain_xml(const std::string& path);

}  // namespace vsmp::config
