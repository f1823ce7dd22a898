-- Wireshark dissector of vsmp's frames (docs/PROTOCOL.md, "The frame"; version 3).
-- tshark -X lua_script:tools/wireshark/vsmp.lua -r FILE, or copy into Wireshark's plugin folder.

local vsmp = Proto("vsmp", "vsmp fabric")

local kinds = { [1] = "hello", [2] = "welcome", [3] = "data", [4] = "ack", [5] = "probe",
                [6] = "probe_ack" }
local channels = { [1] = "coherence", [2] = "vcpu", [3] = "interrupt", [4] = "device",
                   [5] = "clock", [6] = "test", [7] = "page" }
local coherence_kinds = { [1] = "read_request", [2] = "write_request", [3] = "forward_read",
                          [4] = "forward_write", [5] = "invalidate", [6] = "invalidate_ack",
                          [7] = "shared_data", [8] = "exclusive_data", [9] = "upgrade_grant",
                          [10] = "done" }
local contents_names = { [0] = "none", [1] = "zero", [2] = "page" }
local vcpu_kinds = { [1] = "ship_state", [2] = "ship_ack", [3] = "ship_nack", [4] = "location",
                     [5] = "interrupt" }
local device_kinds = { [1] = "device request", [2] = "device reply", [3] = "end of interrupt",
                       [4] = "APIC moved", [5] = "micro-guest report" }
local clock_kinds = { [1] = "ping", [2] = "pong" }

local KIND_DATA, KIND_ACK = 3, 4
local HEADER = 60 -- behind Ethernet and a VLAN tag

local f = {
    version = ProtoField.uint8("vsmp.version", "Protocol version"),
    kind = ProtoField.uint8("vsmp.kind", "Kind", base.DEC, kinds),
    from = ProtoField.uint8("vsmp.from", "Source node"),
    to = ProtoField.uint8("vsmp.to", "Destination node"),
    guest = ProtoField.uint64("vsmp.guest", "Guest id", base.HEX),
    cluster = ProtoField.uint32("vsmp.cluster", "Cluster id", base.HEX),
    sender = ProtoField.uint32("vsmp.sender", "Sender's incarnation", base.HEX),
    receiver = ProtoField.uint32("vsmp.receiver", "Receiver's incarnation", base.HEX),
    flags = ProtoField.uint8("vsmp.flags", "Flags", base.HEX),
    has_checksum = ProtoField.bool("vsmp.flags.checksum", "Checksum", 8, nil, 0x01),
    sealed = ProtoField.bool("vsmp.flags.sealed", "Sealed", 8, nil, 0x02),
    answer_now = ProtoField.bool("vsmp.flags.answer_now", "Answer now", 8, nil, 0x04),
    names_double = ProtoField.bool("vsmp.flags.names_double", "Names a duplicate", 8, nil, 0x08),
    part_of_ack = ProtoField.bool("vsmp.flags.part_of_ack", "More has arrived than is said", 8, nil,
                                  0x10),
    doubled = ProtoField.uint16("vsmp.doubled", "Came again (low 16 bits of the sequence)"),
    channel = ProtoField.uint8("vsmp.channel", "Channel", base.DEC, channels),
    length = ProtoField.uint16("vsmp.length", "Payload length"),
    sequence = ProtoField.uint32("vsmp.sequence", "Sequence"),
    acknowledged = ProtoField.uint32("vsmp.acknowledged", "Acknowledged below"),
    selective = ProtoField.uint64("vsmp.selective", "Selectively acknowledged", base.HEX),
    credit = ProtoField.uint16("vsmp.credit", "Credit"),
    ack_delay = ProtoField.uint16("vsmp.ack_delay", "Acknowledgement delay (us)"),
    order = ProtoField.uint16("vsmp.order", "Order in its stream"),
    behind = ProtoField.uint16("vsmp.behind", "Behind in the node stream"),
    offset = ProtoField.uint16("vsmp.offset", "Offset in the message"),
    total = ProtoField.uint16("vsmp.total", "Message length"),
    mtu = ProtoField.uint16("vsmp.mtu", "MTU"),
    checksum = ProtoField.uint32("vsmp.checksum", "CRC-32C", base.HEX),
    payload = ProtoField.bytes("vsmp.payload", "Payload"),
    sealed_payload = ProtoField.bytes("vsmp.sealed_payload", "Sealed payload"),
    coherence_kind = ProtoField.uint8("vsmp.coherence.kind", "Coherence message", base.DEC,
                                      coherence_kinds),
    contents = ProtoField.uint8("vsmp.coherence.contents", "Contents", base.DEC, contents_names),
    acks = ProtoField.uint8("vsmp.coherence.acks", "Acks to wait for"),
    requester = ProtoField.uint8("vsmp.coherence.requester", "Requester"),
    page = ProtoField.uint64("vsmp.coherence.page", "Page"),
    vcpu_kind = ProtoField.uint8("vsmp.vcpu.kind", "vCPU message", base.DEC, vcpu_kinds),
    vcpu = ProtoField.uint16("vsmp.vcpu.id", "vCPU"),
    epoch = ProtoField.uint64("vsmp.vcpu.epoch", "Epoch"),
    device_kind = ProtoField.uint8("vsmp.device.kind", "Node message", base.DEC, device_kinds),
    clock_kind = ProtoField.uint8("vsmp.clock.kind", "Clock message", base.DEC, clock_kinds),
}
for _, field in pairs(f) do vsmp.fields[#vsmp.fields + 1] = field end

local malformed = ProtoExpert.new("vsmp.malformed", "Malformed vsmp frame", expert.group.MALFORMED,
                                  expert.severity.ERROR)
vsmp.experts = { malformed }

-- Each adds what it knows of a whole message to `tree` and returns a word for the summary.
local messages = {}

messages[1] = function(body, tree)
    if body:len() < 16 then return "short" end
    tree:add(f.coherence_kind, body(0, 1))
    tree:add(f.contents, body(1, 1))
    tree:add(f.acks, body(2, 1))
    tree:add(f.requester, body(3, 1))
    tree:add_le(f.page, body(8, 8))
    return string.format("%s page %s", coherence_kinds[body(0, 1):uint()] or "?",
                         body(8, 8):le_uint64())
end
messages[7] = messages[1]

messages[2] = function(body, tree)
    if body:len() < 16 then return "short" end
    tree:add(f.vcpu_kind, body(0, 1))
    tree:add_le(f.vcpu, body(4, 2))
    tree:add_le(f.epoch, body(8, 8))
    return string.format("%s vCPU %d", vcpu_kinds[body(0, 1):uint()] or "?", body(4, 2):le_uint())
end

messages[4] = function(body, tree)
    if body:len() < 1 then return "short" end
    tree:add(f.device_kind, body(0, 1))
    return device_kinds[body(0, 1):uint()] or "?"
end

messages[5] = function(body, tree)
    if body:len() < 1 then return "short" end
    tree:add(f.clock_kind, body(0, 1))
    return clock_kinds[body(0, 1):uint()] or "?"
end

local function add_header(buffer, tree)
    tree:add(f.version, buffer(0, 1))
    tree:add(f.kind, buffer(1, 1))
    tree:add(f.from, buffer(2, 1))
    tree:add(f.to, buffer(3, 1))
    tree:add_le(f.guest, buffer(4, 8))
    tree:add_le(f.cluster, buffer(12, 4))
    tree:add_le(f.sender, buffer(16, 4))
    tree:add_le(f.receiver, buffer(20, 4))
    local flags = tree:add(f.flags, buffer(24, 1))
    flags:add(f.has_checksum, buffer(24, 1))
    flags:add(f.sealed, buffer(24, 1))
    flags:add(f.answer_now, buffer(24, 1))
    flags:add(f.names_double, buffer(24, 1))
    flags:add(f.part_of_ack, buffer(24, 1))
    tree:add(f.channel, buffer(25, 1))
    tree:add_le(f.length, buffer(26, 2))
    tree:add_le(f.sequence, buffer(28, 4))
    tree:add_le(f.acknowledged, buffer(32, 4))
    tree:add_le(f.selective, buffer(36, 8))
    tree:add_le(f.credit, buffer(44, 2))
    tree:add_le(f.ack_delay, buffer(46, 2))
    tree:add_le(f.order, buffer(48, 2))
    tree:add_le(f.behind, buffer(50, 2))
    tree:add_le(f.offset, buffer(52, 2))
    local kind = buffer(1, 1):uint()
    if kind == KIND_DATA then
        tree:add_le(f.total, buffer(54, 2))
    elseif kind == KIND_ACK then
        tree:add_le(f.doubled, buffer(54, 2))
    else
        tree:add_le(f.mtu, buffer(54, 2))
    end
    tree:add_le(f.checksum, buffer(56, 4))
end

-- Of a data frame; returns a word for the summary.
local function add_payload(buffer, tree)
    local length, sealed = buffer(26, 2):le_uint(), buffer(24, 1):bitfield(6, 1) == 1
    if sealed then
        tree:add(f.sealed_payload, buffer(HEADER))
        return "sealed"
    end
    if buffer:len() < HEADER + length then
        tree:add_proto_expert_info(malformed, "payload ends early")
        return "malformed"
    end
    if length == 0 then return "empty" end
    local body = buffer(HEADER, length)
    local payload = tree:add(f.payload, body)
    if buffer(52, 2):le_uint() ~= 0 or buffer(54, 2):le_uint() ~= length then return "segment" end
    local message = messages[buffer(25, 1):uint()]
    return message and message(body, payload) or string.format("%d bytes", length)
end

function vsmp.dissector(buffer, packet, root)
    packet.cols.protocol = "vsmp"
    local tree = root:add(vsmp, buffer())
    if buffer:len() < HEADER or buffer(0, 1):uint() ~= 3 then
        if buffer:len() >= 1 then tree:add(f.version, buffer(0, 1)) end
        packet.cols.info = "not a frame of version 3"
        tree:add_proto_expert_info(malformed, "not a frame of version 3")
        return buffer:len()
    end
    add_header(buffer, tree)
    local kind = buffer(1, 1):uint()
    local info = string.format("%d -> %d %s", buffer(2, 1):uint(), buffer(3, 1):uint(),
                               kinds[kind] or "?")
    if kind == KIND_DATA then
        info = string.format("%s seq %d %s: %s", info, buffer(28, 4):le_uint(),
                             channels[buffer(25, 1):uint()] or "?", add_payload(buffer, tree))
    end
    packet.cols.info = string.format("%s, ack %d", info, buffer(32, 4):le_uint())
    return buffer:len()
end

DissectorTable.get("ethertype"):add(0x88b5, vsmp)
