// The example must be accepted by us, by libvirt's schema and by libvirt itself.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "test/skip.hpp"
#include "vmm/config/domain_xml.hpp"

namespace vsmp::config {
namespace {

const std::string kExample = std::string{VSMP_EXAMPLES} + "/two-nodes.xml";

TEST(Example, IsAccepted) {
    auto result = read_domain_xml(kExample);
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_EQ(result->guest.nodes.size(), 2u);
    EXPECT_EQ(result->guest.vcpu_count, 2);
    EXPECT_EQ(result->guest.distances[0][1], 40);
    if (std::filesystem::exists("/usr/share/libvirt/schemas/domain.rng")) {
        EXPECT_TRUE(result->warnings.empty()) << result->warnings.front();
    }
}

TEST(Example, IsAcceptedByLibvirt) {
    if (std::system("command -v virsh >/dev/null 2>&1") != 0)
        VSMP_SKIP() << "virsh (libvirt-clients) is not installed";
    const std::string define = "virsh -c test:///default define --validate '" + kExample + "'";
    EXPECT_EQ(std::system(define.c_str()), 0);
}

TEST(Example, LibvirtsSchemaIsConsulted) {
    if (!std::filesystem::exists("/usr/share/libvirt/schemas/domain.rng"))
        VSMP_SKIP() << "libvirt's schema is not installed";
    const std::string path = testing::TempDir() + "vsmp_schema_test.xml";
    // Our reader takes the uuid as it is; the schema knows its form.
    const std::string command =
        "sed 's|</name>|</name><uuid>not a uuid</uuid>|' '" + kExample + "' > '" + path + "'";
    ASSERT_EQ(std::system(command.c_str()), 0);
    auto result = read_domain_xml(path);
    std::filesystem::remove(path);
    ASSERT_FALSE(result);
    EXPECT_NE(result.error().message.find("libvirt's schema"), std::string::npos)
        << result.error().message;
}

TEST(DomainFile, MissingFileIsNamed) {
    auto result = read_domain_xml("/nonexistent/guest.xml");
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().message, "/nonexistent/guest.xml: No such file or directory");
}

TEST(DomainFile, DirectoryIsAnError) {
    EXPECT_FALSE(read_domain_xml("/"));
}

}  // namespace
}  // namespace vsmp::config
