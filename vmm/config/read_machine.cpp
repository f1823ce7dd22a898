// <os>, <devices> and the elements that only must not ask for what there is not.
#include <algorithm>
#include <array>

#include "vmm/config/sections.hpp"

namespace vsmp::config {
namespace {

constexpr std::size_t kMaxCommandLine = 2047;  // x86 COMMAND_LINE_SIZE - 1
constexpr const char* kNotYet = "is not supported yet";

Result<void> check_type(const XmlElement& type) {
    VSMP_TRY(type.only_attributes({"arch", "machine"}));
    if (type.text() != "hvm") return type.error("'" + type.text() + "' is not supported; say hvm");
    if (auto arch = type.attribute("arch"); arch && *arch != "x86_64")
        return type.error("arch='" + *arch + "' is not supported; only x86_64 is");
    return {};
}

Result<std::string> read_path(const XmlElement& element) {
    VSMP_TRY(element.only_attributes({}));
    VSMP_TRY(element.no_children());
    std::string path = element.text();
    if (path.empty() || path.front() != '/')
        return element.error("'" + path + "' is not an absolute path");
    return path;
}

Result<void> expect(const XmlElement& element, const char* attribute, std::string_view value) {
    const std::string found = element.attribute(attribute).value_or("");
    if (found == value) return {};
    return element.error(std::string{attribute} + "='" + found + "' " + kNotYet + "; only '" +
                         std::string{value} + "' is");
}

// <serial type='pty'><target port='0'/></serial>, and the <console> that libvirt adds for it.
Result<void> check_serial(const XmlElement& serial) {
    VSMP_TRY(serial.only_attributes({"type"}));
    VSMP_TRY(expect(serial, "type", "pty"));
    for (const XmlElement& child : serial.children()) {
        if (child.name() != "target") return child.error(kNotYet);
        VSMP_TRY(child.only_attributes({"type", "port"}));
        VSMP_TRY(expect(child, "port", "0"));
        const std::string type = child.attribute("type").value_or("serial");
        if (type != "serial" && type != "isa-serial")
            return child.error("type='" + type + "' " + kNotYet);
    }
    return {};
}

Result<void> check_action(const XmlElement& element, std::vector<std::string>& warnings) {
    VSMP_TRY(element.only_attributes({}));
    const std::string action = element.text();
    if (action == "destroy") return {};
    if (action != "restart")
        return element.error("'" + action + "' " + kNotYet + "; only destroy is");
    warnings.push_back(element.message("'restart' is not supported yet: vsmp-run ends instead"));
    return {};
}

Result<void> only_children(const XmlElement& element,
                           std::initializer_list<std::string_view> known) {
    VSMP_TRY(element.only_attributes({}));
    for (const XmlElement& child : element.children()) {
        if (std::find(known.begin(), known.end(), child.name()) == known.end())
            return child.error(kNotYet);
        VSMP_TRY(child.only_attributes({}));
    }
    return {};
}

}  // namespace

Result<BootConfig> read_os(const XmlElement& os) {
    VSMP_TRY(os.only_attributes({}));
    BootConfig boot;
    for (const XmlElement& child : os.children()) {
        if (child.name() == "type") {
            VSMP_TRY(check_type(child));
        } else if (child.name() == "kernel") {
            VSMP_TRY_ASSIGN(boot.kernel, read_path(child));
        } else if (child.name() == "initrd") {
            VSMP_TRY_ASSIGN(boot.initrd, read_path(child));
        } else if (child.name() == "cmdline") {
            VSMP_TRY(child.only_attributes({}));
            boot.command_line = child.text();
            if (boot.command_line.size() > kMaxCommandLine)
                return child.error("longer than " + std::to_string(kMaxCommandLine) +
                                   " characters, which Linux would cut off");
        } else {
            return child.error("is not supported yet: the guest is booted directly from <kernel>");
        }
    }
    if (boot.kernel.empty()) return os.error("has no <kernel>");
    return boot;
}

Result<void> check_devices(const XmlElement& devices) {
    VSMP_TRY(devices.only_attributes({}));
    int serials = 0;
    for (const XmlElement& device : devices.children()) {
        if (device.name() == "emulator") continue;  // what virsh starts; we are what it starts
        if (device.name() == "serial") {
            if (++serials > 1) return device.error("a second serial port is not supported yet");
            VSMP_TRY(check_serial(device));
        } else if (device.name() == "console") {
            VSMP_TRY(check_serial(device));
        } else if (device.name() == "memballoon") {
            VSMP_TRY(expect(device, "model", "none"));
        } else if (device.name() == "controller" && device.attribute("type") == "usb") {
            VSMP_TRY(expect(device, "model", "none"));
        } else {
            return device.error(kNotYet);
        }
    }
    return {};
}

Result<bool> check_other(const XmlElement& element, std::vector<std::string>& warnings) {
    const std::string_view name = element.name();
    if (name == "title" || name == "description") return true;
    if (name == "on_poweroff" || name == "on_reboot" || name == "on_crash") {
        VSMP_TRY(check_action(element, warnings));
        return true;
    }
    if (name == "features") {
        VSMP_TRY(only_children(element, {"acpi", "apic"}));
        return true;
    }
    if (name == "clock") {
        VSMP_TRY(element.only_attributes({"offset"}));
        VSMP_TRY(element.no_children());
        VSMP_TRY(expect(element, "offset", "utc"));
        return true;
    }
    if (name == "seclabel") {
        VSMP_TRY(element.only_attributes({"type"}));
        VSMP_TRY(expect(element, "type", "none"));
        return true;
    }
    return false;
}

}  // namespace vsmp::config
