#include "dpdk_transport/crypto/aead_sealer.hpp"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <vector>

#include "dpdk_transport/crypto/replay_window.hpp"
#include "proto/monotonic_clock.hpp"

namespace vsmp::fabric {
namespace {

constexpr std::size_t kNameSize = 16, kTagSize = 16, kNonceSize = 12, kCounterSize = 6;
static_assert(kNameSize + kTagSize == kSealOverhead);
constexpr std::uint64_t kMaxCounter = (std::uint64_t{1} << 48) - 1;
constexpr Duration kLookForKeys = std::chrono::seconds(1);

const unsigned char* octets(ByteView bytes) {
    return reinterpret_cast<const unsigned char*>(bytes.data());
}
unsigned char* writable(std::span<std::byte> bytes) {
    return reinterpret_cast<unsigned char*>(bytes.data());
}

// OpenSSL's failures here are its own or ours, never the wire's.
void must(int code, const char* what) {
    VSMP_CHECK(code > 0, what);
}

// In front of each sealed payload.
struct SealName {
    std::uint16_t key = 0;
    std::uint64_t counter = 0, session = 0;
};

void encode(const SealName& name, ByteWriter& to) {
    to.write(name.key);
    for (std::size_t i = 0; i < kCounterSize; ++i)
        to.write(static_cast<std::uint8_t>(name.counter >> 8 * i & 0xff));
    to.write(name.session);
}

SealName decode(ByteView bytes) {
    ByteReader reader{bytes};
    SealName name;
    name.key = reader.read<std::uint16_t>();
    for (std::size_t i = 0; i < kCounterSize; ++i)
        name.counter |= std::uint64_t{reader.read<std::uint8_t>()} << 8 * i;
    name.session = reader.read<std::uint64_t>();
    return name;
}

using DerivedKey = std::array<std::byte, 32>;

DerivedKey derive(const ClusterKey& cluster, std::uint64_t session, std::uint64_t guest,
                  NodeId from, NodeId to) {
    std::array<std::byte, 8> salt;
    ByteWriter salt_writer{salt};
    salt_writer.write(session);
    constexpr std::string_view kPurpose = "vsmp fabric frame";
    std::array<std::byte, kPurpose.size() + 10> info;
    ByteWriter info_writer{info};
    info_writer.write(std::as_bytes(std::span{kPurpose}));
    info_writer.write(guest);
    info_writer.write(from.value());
    info_writer.write(to.value());

    EVP_KDF* algorithm = EVP_KDF_fetch(nullptr, "HKDF", nullptr);
    EVP_KDF_CTX* context = EVP_KDF_CTX_new(algorithm);
    EVP_KDF_free(algorithm);
    std::string digest = "SHA256";
    auto secret = cluster.bytes;
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest.data(), digest.size()),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, secret.data(), secret.size()),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt.data(), salt.size()),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info.data(), info.size()),
        OSSL_PARAM_construct_end()};
    DerivedKey key;
    must(EVP_KDF_derive(context, writable(key), key.size(), parameters), "HKDF");
    EVP_KDF_CTX_free(context);
    return key;
}

enum class Use : std::uint8_t { seal, open };

// AES-256-GCM with one key, in one direction.
class Cipher {
  public:
    Cipher(Use use, const DerivedKey& key) : context_(EVP_CIPHER_CTX_new()) {
        const auto* raw = octets(key);
        if (use == Use::seal)
            must(EVP_EncryptInit_ex2(context_.get(), EVP_aes_256_gcm(), raw, nullptr, nullptr),
                 "AES-256-GCM");
        else
            must(EVP_DecryptInit_ex2(context_.get(), EVP_aes_256_gcm(), raw, nullptr, nullptr),
                 "AES-256-GCM");
    }

    // `to` has room for the payload and the tag.
    void seal(std::uint64_t counter, ByteView header, ByteView name, ByteView payload,
              std::span<std::byte> to) {
        const auto nonce = nonce_of(counter);
        int done = 0;
        auto* context = context_.get();
        must(EVP_EncryptInit_ex2(context, nullptr, nullptr, nonce.data(), nullptr), "nonce");
        must(EVP_EncryptUpdate(context, nullptr, &done, octets(header), size(header)), "header");
        must(EVP_EncryptUpdate(context, nullptr, &done, octets(name), size(name)), "name");
        if (!payload.empty())
            must(EVP_EncryptUpdate(context, writable(to), &done, octets(payload), size(payload)),
                 "payload");
        must(EVP_EncryptFinal_ex(context, writable(to.last(kTagSize)), &done), "end");
        must(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, kTagSize,
                                 writable(to.last(kTagSize))),
             "tag");
    }

    // False: not authentic. `sealed` is ciphertext and tag.
    bool open(std::uint64_t counter, ByteView header, ByteView name, ByteView sealed,
              std::span<std::byte> to) {
        const auto nonce = nonce_of(counter);
        int done = 0;
        auto* context = context_.get();
        std::array<std::byte, kTagSize> tag;
        std::ranges::copy(sealed.last(kTagSize), tag.begin());
        const ByteView text = sealed.first(sealed.size() - kTagSize);
        must(EVP_DecryptInit_ex2(context, nullptr, nullptr, nonce.data(), nullptr), "nonce");
        must(EVP_DecryptUpdate(context, nullptr, &done, octets(header), size(header)), "header");
        must(EVP_DecryptUpdate(context, nullptr, &done, octets(name), size(name)), "name");
        if (!text.empty())
            must(EVP_DecryptUpdate(context, writable(to), &done, octets(text), size(text)), "text");
        must(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG, kTagSize, tag.data()), "tag");
        unsigned char none[kTagSize];
        return EVP_DecryptFinal_ex(context, none, &done) > 0;
    }

  private:
    struct Free {
        void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
    };
    static std::array<unsigned char, kNonceSize> nonce_of(std::uint64_t counter) {
        std::array<unsigned char, kNonceSize> nonce{};
        for (std::size_t i = 0; i < sizeof counter; ++i)
            nonce[i] = static_cast<unsigned char>(counter >> 8 * i & 0xff);
        return nonce;
    }
    static int size(ByteView bytes) { return static_cast<int>(bytes.size()); }

    std::unique_ptr<EVP_CIPHER_CTX, Free> context_;
};

class GcmSealer final : public FrameSealer {
  public:
    explicit GcmSealer(AeadOptions options)
        : options_(std::move(options)),
          session_(options_.session_clock()),
          looked_at_(options_.clock()) {
        VSMP_CHECK(!options_.keys.keys.empty(), "a sealer without a key");
    }

    std::size_t overhead() const override { return kSealOverhead; }
    void seal(NodeId peer, ByteView header, ByteView payload, std::span<std::byte> to) override;
    std::optional<ByteView> open(NodeId peer, ByteView header, ByteView sealed) override;
    const SealCounters& counters() const override { return counters_; }

  private:
    struct Incoming {
        std::uint64_t session = 0;
        std::uint16_t key = 0;
        std::unique_ptr<Cipher> cipher;
        ReplayWindow window;
    };

    void look_for_keys();
    std::unique_ptr<Cipher> cipher(Use use, const ClusterKey& key, std::uint64_t session,
                                   NodeId peer) const;

    AeadOptions options_;
    std::uint64_t session_;
    std::uint64_t counter_ = 0;
    Instant looked_at_;
    std::map<NodeId, std::unique_ptr<Cipher>> outgoing_;
    std::map<NodeId, Incoming> incoming_;
    std::vector<std::byte> plain_;
    SealCounters counters_;
};

std::unique_ptr<Cipher> GcmSealer::cipher(Use use, const ClusterKey& key, std::uint64_t session,
                                          NodeId peer) const {
    const NodeId from = use == Use::seal ? options_.self : peer;
    const NodeId to = use == Use::seal ? peer : options_.self;
    return std::make_unique<Cipher>(use, derive(key, session, options_.guest, from, to));
}

void GcmSealer::look_for_keys() {
    if (!options_.newer_keys) return;
    const Instant now = options_.clock();
    if (now - looked_at_ < kLookForKeys) return;
    looked_at_ = now;
    auto keys = options_.newer_keys();
    if (!keys) return;
    const bool another = keys->keys.back() != options_.keys.keys.back();
    options_.keys = *std::move(keys);
    // Those that are no longer known must not open anything any more.
    std::erase_if(incoming_, [&](const auto& entry) {
        return options_.keys.find(entry.second.key) == nullptr;
    });
    if (!another) return;
    outgoing_.clear();
    session_ = std::max(session_ + 1, options_.session_clock());
    counter_ = 0;
}

void GcmSealer::seal(NodeId peer, ByteView header, ByteView payload, std::span<std::byte> to) {
    look_for_keys();
    VSMP_CHECK(to.size() == payload.size() + kSealOverhead, "room for a sealed payload");
    VSMP_CHECK(counter_ < kMaxCounter, "a session's counters are used up");
    const ClusterKey& key = options_.keys.keys.back();
    auto& outgoing = outgoing_[peer];
    if (!outgoing) outgoing = cipher(Use::seal, key, session_, peer);
    ByteWriter writer{to};
    encode(SealName{key.id, ++counter_, session_}, writer);
    outgoing->seal(counter_, header, to.first(kNameSize), payload, to.subspan(kNameSize));
    ++counters_.sealed;
}

std::optional<ByteView> GcmSealer::open(NodeId peer, ByteView header, ByteView sealed) {
    look_for_keys();
    if (sealed.size() < kSealOverhead) {
        ++counters_.unauthentic;
        return std::nullopt;
    }
    const ByteView name_bytes = sealed.first(kNameSize);
    const SealName name = decode(name_bytes);
    const ClusterKey* key = options_.keys.find(name.key);
    if (key == nullptr) {
        ++counters_.unknown_key;
        return std::nullopt;
    }
    Incoming& known = incoming_[peer];
    const bool current = known.cipher && known.session == name.session && known.key == name.key;
    if (known.cipher &&
        (name.session < known.session || (current && known.window.seen(name.counter)))) {
        ++counters_.replayed;
        return std::nullopt;
    }
    Incoming fresh;
    if (!current) {
        fresh.session = name.session;
        fresh.key = name.key;
        fresh.cipher = cipher(Use::open, *key, name.session, peer);
    }
    Incoming& incoming = current ? known : fresh;
    plain_.resize(sealed.size() - kSealOverhead);
    if (!incoming.cipher->open(name.counter, header, name_bytes, sealed.subspan(kNameSize),
                               plain_)) {
        ++counters_.unauthentic;
        return std::nullopt;
    }
    incoming.window.add(name.counter);
    if (!current) known = std::move(fresh);
    ++counters_.opened;
    return ByteView{plain_};
}

}  // namespace

std::unique_ptr<FrameSealer> make_aead_sealer(AeadOptions options) {
    if (!options.clock) options.clock = monotonic_now;
    if (!options.session_clock)
        options.session_clock = [] {
            return static_cast<std::uint64_t>(
                std::chrono::duration_cast<std::chrono::nanoseconds>(
                    std::chrono::system_clock::now().time_since_epoch())
                    .count());
        };
    return std::make_unique<GcmSealer>(std::move(options));
}

}  // namespace vsmp::fabric
