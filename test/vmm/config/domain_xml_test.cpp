#include "vmm/config/domain_xml.hpp"

#include <gtest/gtest.h>

namespace vsmp::config {
namespace {

// A good document, one element per line; each test replaces one line of it.
const char* const kGood = R"(<domain type='kvm'>
<name>g</name>
<metadata>
<v:cluster xmlns:v='urn:vsmp:domain:1'>
<v:node id='0' cell='0' host='local'>
<v:link type='af_packet' interface='veth0'/>
</v:node>
<v:node id='1' cell='1' host='local'>
<v:link type='af_packet' interface='veth1'/>
</v:node>
</v:cluster>
</metadata>
<memory unit='MiB'>512</memory>
<vcpu>3</vcpu>
<os>
<type arch='x86_64'>hvm</type>
<kernel>/boot/vmlinuz</kernel>
</os>
<cpu mode='host-passthrough'>
<numa>
<cell id='0' cpus='0-1' memory='256' unit='MiB'/>
<cell id='1' cpus='2' memory='262144'/>
</numa>
</cpu>
<devices>
<serial type='pty'/>
</devices>
</domain>
)";

std::string with(const std::string& old_text, const std::string& new_text) {
    std::string xml = kGood;
    const std::size_t at = xml.find(old_text);
    EXPECT_NE(at, std::string::npos) << old_text;
    return xml.replace(at, old_text.size(), new_text);
}

TEST(DomainXml, GoodDocumentIsRead) {
    auto result = parse_domain_xml(kGood, "g.xml");
    ASSERT_TRUE(result) << result.error().message;
    const GuestConfig& guest = result->guest;
    EXPECT_TRUE(result->warnings.empty());
    EXPECT_EQ(guest.name, "g");
    EXPECT_EQ(guest.vcpu_count, 3);
    ASSERT_EQ(guest.nodes.size(), 2u);
    EXPECT_EQ(guest.nodes[0].memory_bytes, 256u << 20);
    EXPECT_EQ(guest.nodes[1].memory_bytes, 256u << 20);
    EXPECT_EQ(guest.nodes[0].vcpus, (std::vector{VcpuId{0}, VcpuId{1}}));
    EXPECT_EQ(guest.nodes[1].vcpus, (std::vector{VcpuId{2}}));
    EXPECT_EQ(std::get<AfPacketLink>(guest.nodes[1].links.at(0)).interface, "veth1");
    EXPECT_EQ(guest.boot.kernel, "/boot/vmlinuz");
    EXPECT_EQ(guest.boot.initrd, "");
    EXPECT_EQ(guest.distances, (std::vector<std::vector<std::uint8_t>>{{10, 20}, {20, 10}}));
    EXPECT_EQ(guest.spread, Spread::round_robin);
    EXPECT_EQ(guest.read_ahead, 512u);
    EXPECT_EQ(guest.companions, 0u);
    EXPECT_FALSE(guest.large_pages);
    EXPECT_EQ(guest.vlan, 0);
}

TEST(DomainXml, SettingsAreRead) {
    auto result =
        parse_domain_xml(with("</v:cluster>",
                              "<v:policy name='threshold'/><v:hold us='250'/><v:vlan id='7'/>"
                              "<v:memory read-ahead='0' companions='7' large-pages='yes'/>"
                              "<v:fabric spin-us='5' scheduling='fifo' key='/k'/>"
                              "<v:spread mode='none'/></v:cluster>"),
                         "g.xml");
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_EQ(result->guest.policy, "threshold");
    EXPECT_EQ(result->guest.hold, std::chrono::microseconds(250));
    EXPECT_EQ(result->guest.read_ahead, 0u);
    EXPECT_EQ(result->guest.companions, 7u);
    EXPECT_TRUE(result->guest.large_pages);
    EXPECT_EQ(result->guest.vlan, 7);
    EXPECT_EQ(result->guest.fabric.spin, std::chrono::microseconds(5));
    EXPECT_EQ(result->guest.fabric.scheduling, fabric::Scheduling::fifo);
    EXPECT_EQ(result->guest.fabric.key_file, "/k");
    EXPECT_EQ(result->guest.spread, Spread::none);
}

TEST(DomainXml, ANodeMayHaveAMemoryLimit) {
    auto result =
        parse_domain_xml(with("id='1' cell='1'", "id='1' cell='1' limit-mib='257'"), "g.xml");
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_EQ(result->guest.nodes[0].memory_limit_bytes, 0u);
    EXPECT_EQ(result->guest.nodes[1].memory_limit_bytes, 257u << 20);
}

TEST(DomainXml, CellsMayBeGivenToNodesInAnyOrder) {
    std::string xml = with("id='0' cell='0'", "id='1' cell='0'");
    xml.replace(xml.find("id='1' cell='1'"), 15, "id='0' cell='1'");
    auto result = parse_domain_xml(xml, "g.xml");
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_EQ(result->guest.nodes[0].vcpus, (std::vector{VcpuId{2}}));
    EXPECT_EQ(std::get<AfPacketLink>(result->guest.nodes[0].links.at(0)).interface, "veth1");
}

TEST(DomainXml, DistanceGivenOneWayCountsBothWays) {
    auto result = parse_domain_xml(
        with("cpus='0-1' memory='256' unit='MiB'/>",
             "cpus='0-1' memory='256' unit='MiB'><distances><sibling id='1' value='33'/>"
             "</distances></cell>"),
        "g.xml");
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_EQ(result->guest.distances,
              (std::vector<std::vector<std::uint8_t>>{{10, 33}, {33, 10}}));
}

TEST(DomainXml, VhostUserPairIsTwoNodesWithOneSocket) {
    std::string xml = with("type='af_packet' interface='veth0'", "type='vhost-user' socket='/s'");
    xml.replace(xml.find("type='af_packet' interface='veth1'"), 34,
                "type='vhost-user' socket='/s'");
    EXPECT_TRUE(parse_domain_xml(xml, "g.xml"));
    xml.replace(xml.rfind("'/s'"), 4, "'/t'");
    auto result = parse_domain_xml(xml, "g.xml");
    ASSERT_FALSE(result);
    EXPECT_NE(result.error().message.find("name the same socket"), std::string::npos);
}

TEST(DomainXml, ANodeMayHaveSeveralLinks) {
    std::string xml = with("interface='veth0'/>",
                           "interface='veth0'/><v:link type='pci' address='0000:01:00.0'/>"
                           "<v:link type='vhost-user' socket='/s'/>");
    xml.replace(xml.find("interface='veth1'/>"), 19,
                "interface='veth1'/><v:link type='vhost-user' socket='/s'/>");
    auto result = parse_domain_xml(xml, "g.xml");
    ASSERT_TRUE(result) << result.error().message;
    const auto& links = result->guest.nodes[0].links;
    ASSERT_EQ(links.size(), 3u);
    EXPECT_EQ(std::get<PciLink>(links[1]).address, "0000:01:00.0");
    EXPECT_EQ(std::get<VhostUserLink>(links[2]).socket, "/s");
    EXPECT_EQ(result->guest.nodes[1].links.size(), 2u);
}

TEST(DomainXml, MemoryIsTheSumOfTheCellsWithAWarning) {
    auto result = parse_domain_xml(with("'MiB'>512<", "'MiB'>600<"), "g.xml");
    ASSERT_TRUE(result);
    ASSERT_EQ(result->warnings.size(), 1u);
    EXPECT_EQ(result->warnings[0],
              "g.xml:13: <memory>: is 614400 KiB but the cells add up to 524288 KiB, which is "
              "used (as libvirt does)");
}

struct BadCase {
    const char* name;
    const char* old_text;
    std::string new_text;
    const char* message;  // after "g.xml:"
};

class BadDomainXml : public testing::TestWithParam<BadCase> {};

TEST_P(BadDomainXml, IsRefusedWithItsLine) {
    auto result = parse_domain_xml(with(GetParam().old_text, GetParam().new_text), "g.xml");
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().message, std::string{"g.xml:"} + GetParam().message);
}

std::string many(int count, const std::string& piece) {
    std::string all;
    for (int i = 0; i < count; ++i) all += piece;
    return all;
}

const BadCase kBadCases[] = {
    {"CellNamesMissingCpu", "cpus='2'", "cpus='2-3'",
     "22: <cell>: cpus='2-3' names CPU 3 but <vcpu> is 3"},
    {"CpuInTwoCells", "cpus='2'", "cpus='1-2'", "22: <cell>: CPU 1 is already in cell 0"},
    {"CpuInNoCell", "cpus='0-1'", "cpus='0'", "20: <numa>: CPU 1 is in no cell"},
    {"CpuListBackwards", "cpus='0-1'", "cpus='1-0'",
     "21: <cell>: cpus='1-0' is not a list of CPUs"},
    {"CpuListJunk", "cpus='0-1'", "cpus='0,,1'", "21: <cell>: cpus='0,,1' is not a list of CPUs"},
    {"SameNodeId", "id='1' cell='1'", "id='0' cell='1'",
     "8: <v:node>: a second node with id 0 (line 5)"},
    {"SameCell", "id='1' cell='1'", "id='1' cell='0'",
     "8: <v:node>: cell 0 already belongs to node 0 (line 5)"},
    {"SameLink", "'veth1'", "'veth0'",
     "8: <v:node>: same link as node 0 (line 5): interface veth0"},
    {"NodeIdGap", "id='1' cell='1'", "id='2' cell='1'",
     "8: <v:node>: there is no node 1: nodes are numbered from 0"},
    {"NodeWithoutCell", "id='1' cell='1'", "id='1' cell='2'", "8: <v:node>: there is no cell 2"},
    {"CellWithoutNode", "<cell id='1' cpus='2' memory='262144'/>",
     "<cell cpus='2' memory='262144'/><cell memory='1024'/>",
     "22: <cell>: no <vsmp:node> has cell='2'"},
    {"NodeIdTooLarge", "id='1' cell='1'", "id='64' cell='1'",
     "8: <v:node>: id='64' is not a number from 0 to 63"},
    {"CellMemoryZero", "memory='262144'", "memory='0'", "22: <cell>: memory is 0"},
    {"CellMemoryUnaligned", "memory='262144'", "memory='262145'",
     "22: <cell>: memory is not a whole number of MiB (268436480 bytes)"},
    {"CellMemoryOverflow", "memory='262144'", "memory='99999999999999999999'",
     "22: <cell>: '99999999999999999999' is not a size"},
    {"CellMemoryUnit", "unit='MiB'/>", "unit='parsec'/>",
     "21: <cell>: unit='parsec' is not a unit"},
    {"CellMemoryMissing", " memory='262144'", "", "22: <cell>: attribute 'memory' is missing"},
    {"MemoryZero", ">512<", ">0<", "13: <memory>: is 0"},
    {"MemoryUnaligned", "<memory unit='MiB'>512<", "<memory unit='b'>4095<",
     "13: <memory>: is not a whole number of 4 KiB pages"},
    {"Ballooning", "<vcpu>", "<currentMemory unit='MiB'>1</currentMemory><vcpu>",
     "14: <currentMemory>: differs from <memory>: ballooning is not supported yet"},
    {"VcpuZero", "<vcpu>3", "<vcpu>0", "14: <vcpu>: '0' is not a number of CPUs"},
    {"VcpuTooMany", "<vcpu>3", "<vcpu>256", "14: <vcpu>: 256 CPUs; at most 255 are supported"},
    {"VcpuCurrent", "<vcpu>", "<vcpu current='1'>",
     "14: <vcpu>: current='1': adding CPUs later is not supported yet"},
    {"TooManyCells", "<cell id='0'", many(64, "<cell memory='1024'/>") + "<cell ",
     "21: <cell>: more than 64 cells"},
    {"NoKernel", "<kernel>/boot/vmlinuz</kernel>", "", "15: <os>: has no <kernel>"},
    {"RelativeKernel", "/boot/vmlinuz", "vmlinuz",
     "17: <kernel>: 'vmlinuz' is not an absolute path"},
    {"BootDevice", "<kernel>", "<boot dev='hd'/><kernel>",
     "17: <boot>: is not supported yet: the guest is booted directly from <kernel>"},
    {"Disk", "<serial type='pty'/>", "<disk type='file'/>", "26: <disk>: is not supported yet"},
    {"Interface", "<serial type='pty'/>", "<interface type='network'/>",
     "26: <interface>: is not supported yet"},
    {"SecondSerial", "<serial type='pty'/>", "<serial type='pty'/><serial type='pty'/>",
     "26: <serial>: a second serial port is not supported yet"},
    {"Balloon", "<serial type='pty'/>", "<memballoon model='virtio'/>",
     "26: <memballoon>: model='virtio' is not supported yet; only 'none' is"},
    {"UnknownSection", "<os>", "<memtune/><os>", "15: <memtune>: is not supported yet"},
    {"UnknownVsmpElement", "</v:cluster>", "<v:speed/></v:cluster>",
     "11: <v:speed>: is not known in <v:cluster>"},
    {"UnknownVsmpAttribute", "id='1' cell='1'", "id='1' cell='1' weight='2'",
     "8: <v:node>: attribute 'weight' is not supported"},
    {"UnknownPolicy", "</v:cluster>", "<v:policy name='best'/></v:cluster>",
     "11: <v:policy>: name='best' is none of always-fetch, always-ship, learned, threshold"},
    {"SettingTwice", "</v:cluster>", "<v:vlan id='1'/><v:vlan id='2'/></v:cluster>",
     "11: <v:vlan>: a second <v:vlan>"},
    {"SpinRange", "</v:cluster>", "<v:fabric spin-us='1000001'/></v:cluster>",
     "11: <v:fabric>: spin-us='1000001' is not a number from 0 to 1000000"},
    {"SchedulingUnknown", "</v:cluster>", "<v:fabric scheduling='rr'/></v:cluster>",
     "11: <v:fabric>: scheduling='rr' is none of auto, normal, nice, fifo"},
    {"KeyRelative", "</v:cluster>", "<v:fabric key='k'/></v:cluster>",
     "11: <v:fabric>: key='k' is not an absolute path"},
    {"VlanRange", "</v:cluster>", "<v:vlan id='4095'/></v:cluster>",
     "11: <v:vlan>: id='4095' is not a number from 1 to 4094"},
    {"HoldRange", "</v:cluster>", "<v:hold us='0'/></v:cluster>",
     "11: <v:hold>: us='0' is not a number from 1 to 1000000"},
    {"CompanionsRange", "</v:cluster>", "<v:memory companions='49'/></v:cluster>",
     "11: <v:memory>: companions='49' is not a number from 0 to 48"},
    {"ReadAheadRange", "</v:cluster>", "<v:memory read-ahead='513'/></v:cluster>",
     "11: <v:memory>: read-ahead='513' is not a number from 0 to 512"},
    {"LargePages", "</v:cluster>", "<v:memory large-pages='always'/></v:cluster>",
     "11: <v:memory>: large-pages='always' is neither yes nor no"},
    {"LimitRange", "id='1' cell='1'", "id='1' cell='1' limit-mib='0'",
     "8: <v:node>: limit-mib='0' is not a number from 1 to 1073741824"},
    {"LimitBelowShare", "id='1' cell='1'", "id='1' cell='1' limit-mib='256'",
     "8: <v:node>: a limit of 256 MiB does not leave 1 MiB beside its cell's 256 MiB"},
    {"WrongNamespace", "urn:vsmp:domain:1", "urn:vsmp:domain:9",
     "4: <v:cluster>: the namespace has to be 'urn:vsmp:domain:1'"},
    {"NoCluster",
     "<v:cluster xmlns:v='urn:vsmp:domain:1'>\n<v:node id='0' cell='0' host='local'>\n"
     "<v:link type='af_packet' interface='veth0'/>\n</v:node>\n"
     "<v:node id='1' cell='1' host='local'>\n<v:link type='af_packet' interface='veth1'/>\n"
     "</v:node>\n</v:cluster>",
     "",
     "3: <metadata>: has no <vsmp:cluster xmlns:vsmp='urn:vsmp:domain:1'>, which says where the "
     "nodes are"},
    {"NoLink", "<v:link type='af_packet' interface='veth1'/>", "",
     "8: <v:node>: node 1 has no <vsmp:link>"},
    {"TooManyLinks", "<v:link type='af_packet' interface='veth1'/>",
     many(9, "<v:link type='auto'/>"), "9: <v:link>: more than 8 links of node 1"},
    {"SameLinkTwice", "<v:link type='af_packet' interface='veth1'/>",
     many(2, "<v:link type='af_packet' interface='veth1'/>"),
     "8: <v:node>: the same link twice: interface veth1"},
    {"SecondLinkIsTaken", "<v:link type='af_packet' interface='veth1'/>",
     "<v:link type='af_packet' interface='veth1'/><v:link type='af_packet' interface='veth0'/>",
     "8: <v:node>: same link as node 0 (line 5): interface veth0"},
    {"AutoBesideAnother", "<v:link type='af_packet' interface='veth1'/>",
     "<v:link type='af_packet' interface='veth1'/><v:link type='auto'/>",
     "8: <v:node>: 'auto' links cannot be mixed with others, and all nodes have the same number of "
     "them"},
    {"SocketOfOneNodeOnly", "<v:link type='af_packet' interface='veth1'/>",
     "<v:link type='af_packet' interface='veth1'/><v:link type='vhost-user' socket='/s'/>",
     "8: <v:node>: the two nodes of a vhost-user link name the same socket"},
    {"LinkType", "type='af_packet' interface='veth1'", "type='carrier-pigeon'",
     "9: <v:link>: type='carrier-pigeon' is none of af_packet, vhost-user, pci, auto"},
    {"LinkAttribute", "type='af_packet' interface='veth1'", "type='auto' interface='veth1'",
     "9: <v:link>: attribute 'interface' is not supported"},
    {"InterfaceName", "'veth1'", "'much-too-long-name'",
     "9: <v:link>: interface='much-too-long-name' is not the name of an interface"},
    {"PciAddress", "type='af_packet' interface='veth1'", "type='pci' address='1:2.3'",
     "9: <v:link>: address='1:2.3' is not of the form 0000:01:00.0"},
    {"MixedLinks", "type='af_packet' interface='veth1'", "type='auto'",
     "8: <v:node>: 'auto' links cannot be mixed with others, and all nodes have the same number of "
     "them"},
    {"Host", "host='local'>\n<v:link type='af_packet' interface='veth1'",
     "host='a b'>\n<v:link type='af_packet' interface='veth1'",
     "8: <v:node>: host='a b' is neither 'local' nor HOST[:PORT] (1 to 65535)"},
    {"Port", "host='local'>\n<v:link type='af_packet' interface='veth1'",
     "host='h:65536'>\n<v:link type='af_packet' interface='veth1'",
     "8: <v:node>: host='h:65536' is neither 'local' nor HOST[:PORT] (1 to 65535)"},
    {"PortOfIpv6", "host='local'>\n<v:link type='af_packet' interface='veth1'",
     "host='[fe80::1]:x'>\n<v:link type='af_packet' interface='veth1'",
     "8: <v:node>: host='[fe80::1]:x' is neither 'local' nor HOST[:PORT] (1 to 65535)"},
    {"DistanceTooSmall", "memory='262144'/>",
     "memory='262144'><distances><sibling id='0' value='9'/></distances></cell>",
     "22: <sibling>: value='9' is not between 10 and 255"},
    {"DistanceTooLarge", "memory='262144'/>",
     "memory='262144'><distances><sibling id='0' value='256'/></distances></cell>",
     "22: <sibling>: value='256' is not between 10 and 255"},
    {"DistanceToSelf", "memory='262144'/>",
     "memory='262144'><distances><sibling id='1' value='20'/></distances></cell>",
     "22: <sibling>: value='20': the distance is 10 to the cell itself and more to every other"},
    {"DistanceToNobody", "memory='262144'/>",
     "memory='262144'><distances><sibling id='2' value='20'/></distances></cell>",
     "22: <sibling>: id='2' is not the id of a cell"},
    {"DomainType", "<domain type='kvm'>", "<domain type='xen'>",
     "1: <domain>: type='xen' is not supported; only kvm is"},
    {"NotADomain", "<domain type='kvm'>", "<domain xmlns='urn:other' type='kvm'>",
     "1: <domain>: is not a libvirt <domain>"},
    {"NoName", "<name>g</name>", "", "1: <domain>: has no <name>"},
    {"NameWithSlash", "<name>g", "<name>../g",
     "2: <name>: '../g' is not a name: 1 to 64 characters, no '/', no leading '.'"},
    {"NameWithNewline", "<name>g", "<name>a\nb", "2: <name>: has a control character in it"},
    {"NameWithC1Control", "<name>g", "<name>a&#x9b;b", "2: <name>: has a control character in it"},
    {"NameThatTurnsTextAround", "<name>g", "<name>a&#x202e;b",
     "2: <name>: has a control character in it"},
    {"SecondMemory", "<vcpu>", "<memory>1</memory><vcpu>", "14: <memory>: a second <memory>"},
    {"NoNuma",
     "<numa>\n<cell id='0' cpus='0-1' memory='256' unit='MiB'/>\n"
     "<cell id='1' cpus='2' memory='262144'/>\n</numa>",
     "", "19: <cpu>: has no <numa>; one <cell> per node is needed"},
    {"EmptyNuma",
     "<cell id='0' cpus='0-1' memory='256' unit='MiB'/>\n<cell id='1' cpus='2' memory='262144'/>",
     "", "20: <numa>: has no <cell>; one per node is needed"},
    {"CpuModel", "mode='host-passthrough'", "mode='custom'",
     "19: <cpu>: mode='custom' is not supported yet; say host-passthrough"},
    {"CpuTopology", "<numa>", "<topology sockets='1' cores='3' threads='1'/><numa>",
     "20: <topology>: is not supported yet"},
    {"Arch", "arch='x86_64'", "arch='aarch64'",
     "16: <type>: arch='aarch64' is not supported; only x86_64 is"},
    {"Doctype", "<domain type='kvm'>", "<!DOCTYPE d [<!ENTITY a 'b'>]><domain type='kvm'>",
     "1: a DOCTYPE is not accepted"},
};
INSTANTIATE_TEST_SUITE_P(Each, BadDomainXml, testing::ValuesIn(kBadCases),
                         [](const auto& each) { return std::string{each.param.name}; });

TEST(DomainXml, TooManyNodesIsAnError) {
    auto result =
        parse_domain_xml(with("<v:node id='0' cell='0' host='local'>\n<v:link type='af_packet' "
                              "interface='veth0'/>\n</v:node>",
                              many(65, "<v:node id='0' cell='0'><v:link type='auto'/></v:node>")),
                         "g.xml");
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().message, "g.xml:5: <v:node>: more than 64 nodes");
}

TEST(DomainXml, HugeDocumentIsRefusedUnread) {
    auto result = parse_domain_xml(std::string(kMaxDomainXmlBytes + 1, ' '), "g.xml");
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().message, "g.xml: larger than 1 MiB");
}

TEST(DomainXml, EmptyDocumentIsAnError) {
    EXPECT_FALSE(parse_domain_xml("", "g.xml"));
}

TEST(DomainXml, RestartOnRebootIsAWarning) {
    auto result =
        parse_domain_xml(with("<devices>", "<on_reboot>restart</on_reboot><devices>"), "g.xml");
    ASSERT_TRUE(result);
    EXPECT_EQ(result->warnings.size(), 1u);
}

}  // namespace
}  // namespace vsmp::config
