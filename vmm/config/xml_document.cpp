#include "vmm/config/xml_document.hpp"

#include <libxml/parser.h>
#include <libxml/relaxng.h>

#include <algorithm>
#include <charconv>
#include <climits>

namespace vsmp::config {
namespace {

const char* chars(const xmlChar* text) {
    return reinterpret_cast<const char*>(text);
}

std::string_view trim(std::string_view text) {
    const std::size_t from = text.find_first_not_of(" \t\r\n");
    if (from == std::string_view::npos) return {};
    return text.substr(from, text.find_last_not_of(" \t\r\n") - from + 1);
}

// First line only: libxml2 ends its messages with a newline and sometimes adds more.
std::string first_line(const char* text) {
    if (text == nullptr) return "unknown error";
    std::string_view all = text;
    return std::string{trim(all.substr(0, all.find('\n')))};
}

void refuse_dtd(void* context, const xmlChar*, const xmlChar*, const xmlChar*) {
    auto* parser = static_cast<xmlParserCtxtPtr>(context);
    parser->_private = parser;  // remembered for the message
    xmlStopParser(parser);
}

struct FreeParser {
    void operator()(xmlParserCtxtPtr parser) const {
        if (parser->myDoc != nullptr) xmlFreeDoc(parser->myDoc);
        xmlFreeParserCtxt(parser);
    }
};

struct SchemaError {
    std::optional<std::string> message;
    int line = 0;
};

void remember_first(void* data, xmlErrorPtr error) {
    auto* first = static_cast<SchemaError*>(data);
    if (first->message) return;
    first->message = first_line(error->message);
    first->line = error->line;
    // Text has no line of its own, but the element that it stands in does.
    for (const auto* at = static_cast<const xmlNode*>(error->node);
         first->line <= 0 && at != nullptr; at = at->parent)
        first->line = static_cast<int>(xmlGetLineNo(at));
}

void be_silent(void*, xmlErrorPtr) {}

}  // namespace

std::string_view XmlElement::name() const {
    return chars(node_->name);
}

std::string_view XmlElement::name_space() const {
    return node_->ns != nullptr && node_->ns->href != nullptr ? chars(node_->ns->href) : "";
}

std::string XmlElement::label() const {
    std::string label;
    if (node_->ns != nullptr && node_->ns->prefix != nullptr)
        label = std::string{chars(node_->ns->prefix)} + ":";
    return label + chars(node_->name);
}

long XmlElement::line() const {
    return xmlGetLineNo(const_cast<xmlNodePtr>(node_));
}

std::vector<XmlElement> XmlElement::children() const {
    std::vector<XmlElement> found;
    for (const _xmlNode* child = node_->children; child != nullptr; child = child->next)
        if (child->type == XML_ELEMENT_NODE) found.emplace_back(child, file_);
    return found;
}

std::optional<std::string> XmlElement::attribute(const char* name) const {
    xmlChar* value =
        xmlGetNoNsProp(const_cast<xmlNodePtr>(node_), reinterpret_cast<const xmlChar*>(name));
    if (value == nullptr) return std::nullopt;
    std::string copy = chars(value);
    xmlFree(value);
    return copy;
}

std::string XmlElement::text() const {
    std::string all;
    for (const _xmlNode* child = node_->children; child != nullptr; child = child->next)
        if ((child->type == XML_TEXT_NODE || child->type == XML_CDATA_SECTION_NODE) &&
            child->content != nullptr)
            all += chars(child->content);
    return std::string{trim(all)};
}

std::string XmlElement::message(const std::string& what) const {
    return *file_ + ":" + std::to_string(line()) + ": <" + label() + ">: " + what;
}

Result<void> XmlElement::only_attributes(std::initializer_list<std::string_view> known) const {
    for (const _xmlAttr* a = node_->properties; a != nullptr; a = a->next) {
        const std::string_view name = chars(a->name);
        if (a->ns != nullptr || std::find(known.begin(), known.end(), name) == known.end())
            return error("attribute '" + std::string{name} + "' is not supported");
    }
    return {};
}

Result<void> XmlElement::no_children() const {
    for (const XmlElement& child : children())
        return child.error("is not supported inside <" + label() + ">");
    return {};
}

Result<std::string> XmlElement::required(const char* name) const {
    if (auto value = attribute(name)) return *value;
    return error(std::string{"attribute '"} + name + "' is missing");
}

void XmlDocument::Free::operator()(_xmlDoc* doc) const {
    xmlFreeDoc(doc);
}

XmlDocument::XmlDocument(_xmlDoc* doc, const std::string& file)
    : doc_(doc), file_(std::make_unique<std::string>(file)) {}

Result<XmlDocument> XmlDocument::parse(std::string_view bytes, const std::string& file_name) {
    if (bytes.size() > INT_MAX) return Error{file_name + ": too large"};
    xmlInitParser();
    std::unique_ptr<xmlParserCtxt, FreeParser> parser{xmlNewParserCtxt()};
    if (!parser) return Error{file_name + ": out of memory"};
    parser->sax->internalSubset = refuse_dtd;
    const int options = XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING |
                        XML_PARSE_BIG_LINES | XML_PARSE_NOCDATA;
    xmlDocPtr doc = xmlCtxtReadMemory(parser.get(), bytes.data(), static_cast<int>(bytes.size()),
                                      nullptr, nullptr, options);
    if (parser->_private != nullptr) {
        xmlFreeDoc(doc);
        return Error{file_name + ":" + std::to_string(xmlSAX2GetLineNumber(parser.get())) +
                     ": a DOCTYPE is not accepted"};
    }
    if (doc == nullptr) {
        const xmlError* last = xmlCtxtGetLastError(parser.get());
        return Error{file_name + ":" + std::to_string(last != nullptr ? last->line : 1) +
                     ": not well-formed XML: " + first_line(last ? last->message : nullptr)};
    }
    XmlDocument document{doc, file_name};
    if (xmlDocGetRootElement(doc) == nullptr) return Error{file_name + ": no element in it"};
    return document;
}

XmlElement XmlDocument::root() const {
    return {xmlDocGetRootElement(doc_.get()), file_.get()};
}

std::optional<Error> XmlDocument::validate(const std::string& schema_path) const {
    std::unique_ptr<xmlRelaxNGParserCtxt, decltype(&xmlRelaxNGFreeParserCtxt)> parser{
        xmlRelaxNGNewParserCtxt(schema_path.c_str()), xmlRelaxNGFreeParserCtxt};
    if (!parser) return Error{schema_path + ": out of memory"};
    xmlRelaxNGSetParserStructuredErrors(parser.get(), be_silent, nullptr);
    std::unique_ptr<xmlRelaxNG, decltype(&xmlRelaxNGFree)> schema{xmlRelaxNGParse(parser.get()),
                                                                  xmlRelaxNGFree};
    if (!schema) return Error{schema_path + ": not a usable schema"};
    std::unique_ptr<xmlRelaxNGValidCtxt, decltype(&xmlRelaxNGFreeValidCtxt)> validator{
        xmlRelaxNGNewValidCtxt(schema.get()), xmlRelaxNGFreeValidCtxt};
    if (!validator) return Error{schema_path + ": out of memory"};
    SchemaError first;
    xmlRelaxNGSetValidStructuredErrors(validator.get(), remember_first, &first);
    if (xmlRelaxNGValidateDoc(validator.get(), doc_.get()) == 0) return std::nullopt;
    return Error{*file_ + ":" + std::to_string(first.line) +
                 ": libvirt's schema: " + first.message.value_or("not valid")};
}

std::optional<std::uint64_t> parse_number(std::string_view text, std::uint64_t low,
                                          std::uint64_t high) {
    text = trim(text);
    std::uint64_t value = 0;
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (code != std::errc{} || end != text.data() + text.size() || text.empty()) return {};
    if (value < low || value > high) return {};
    return value;
}

}  // namespace vsmp::config
