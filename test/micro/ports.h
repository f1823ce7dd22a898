/* Numbers of vmm/boot/micro.hpp, for assembler. guest.hpp checks that they are the same. */
#define REPORT_PORT 0x510
#define FINISH_PORT 0x511
#define CONSOLE_LINE_STATUS_PORT 0x3fd
#define CONSOLE_DATA_PORT 0x3f8
#define STATUS_EXCEPTION 0xdead
#define MAX_VCPUS 64
#define STUB_BYTES 32
