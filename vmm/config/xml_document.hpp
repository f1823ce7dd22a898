// A libxml2 document behind a small, safe interface: elements that know how to complain.
// Views (XmlElement) are valid as long as their document. Not thread-safe per document.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proto/result.hpp"

struct _xmlDoc;
struct _xmlNode;

namespace vsmp::config {

class XmlElement {
  public:
    XmlElement(const _xmlNode* node, const std::string* file) : node_(node), file_(file) {}

    std::string_view name() const;        // without prefix
    std::string_view name_space() const;  // URI, or empty
    std::string label() const;            // with prefix, as written: "vsmp:node"
    long line() const;
    std::vector<XmlElement> children() const;  // elements only
    std::optional<std::string> attribute(const char* name) const;
    std::string text() const;  // of the element itself, surrounding space removed

    // "FILE:LINE: <LABEL>: `what`"
    std::string message(const std::string& what) const;
    Error error(const std::string& what) const { return {message(what)}; }

    // An error for an attribute that is not in the list, or is in a namespace.
    Result<void> only_attributes(std::initializer_list<std::string_view> known) const;
    // An error when there are child elements.
    Result<void> no_children() const;
    // The attribute, which must be there.
    Result<std::string> required(const char* name) const;

  private:
    const _xmlNode* node_;
    const std::string* file_;
};

class XmlDocument {
  public:
    // Never reads another file, never touches the network, refuses a DTD (and so entities).
    static Result<XmlDocument> parse(std::string_view bytes, const std::string& file_name);

    XmlElement root() const;
    // Checks against a RelaxNG schema file. nullopt: the document is valid.
    std::optional<Error> validate(const std::string& schema_path) const;

  private:
    struct Free {
        void operator()(_xmlDoc* doc) const;
    };
    XmlDocument(_xmlDoc* doc, const std::string& file);
    std::unique_ptr<_xmlDoc, Free> doc_;
    std::unique_ptr<std::string> file_;  // stable address for the views
};

// Whole number in decimal (surrounding space allowed) within [low, high].
std::optional<std::uint64_t> parse_number(std::string_view text, std::uint64_t low,
                                          std::uint64_t high);

}  // namespace vsmp::config
