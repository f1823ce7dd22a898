// From the registers of the boot protocol to run(), and what the compiler may call by itself.
#include "test/micro/guest.hpp"

extern "C" micro::u32 micro_main(micro::u64 vcpu, micro::u64 vcpus, micro::u64 ram_bytes,
                                 const micro::u64* arguments) {
    return micro::run({vcpu, vcpus, ram_bytes, arguments});
}

extern "C" void* memcpy(void* to, const void* from, std::size_t size) {
    void* at = to;
    asm volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(size) : : "memory");
    return to;
}

extern "C" void* memset(void* to, int value, std::size_t size) {
    void* at = to;
    asm volatile("rep stosb" : "+D"(at), "+c"(size) : "a"(value) : "memory");
    return to;
}
