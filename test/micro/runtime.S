// What every micro-guest starts with: entry point, note, and the CPL 0 stubs. Stubs use only
// instructions that a software KVM's interpreter knows.

#include "test/micro/ports.h"

    .section .note.vsmp, "a", @note
    .balign 4
    .long 5, 16, 1              // name bytes, descriptor bytes, type
    .asciz "vsmp"
    .balign 4
    .quad stubs, STUB_BYTES

// rdi, rsi, rdx, rcx as the loader left them are micro_main's four arguments.
    .section .text.start, "ax"
    .global _start
_start:
    sub $8, %rsp
    call micro_main
    xor %ebx, %ebx
finish_forever:
    mov $FINISH_PORT, %dx
    out %eax, %dx
    jmp finish_forever

// One stub a vector. Stack below the frame that the CPU pushed: error code, vector.
    .text
    .balign STUB_BYTES
stubs:
    .set vector, 0
    .rept 256
    .balign STUB_BYTES
    .if vector == 3
    // The system call, by r8: 0 wrmsr(ecx, edx:eax), 1 rdmsr(ecx), 2 wrmsr and halt until an
    // interrupt came. r9 = 1 says that it was one.
    mov $1, %r9d
    cmp $1, %r8
    ja halt
    je 1f
    wrmsr
    iretq
1:  rdmsr
    iretq
    .else
    .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30)
    push $0
    .endif
    push $vector
    .if vector < 32
    jmp exception
    .else
    jmp interrupt
    .endif
    .endif
    .set vector, vector + 1
    .endr
    .balign STUB_BYTES

// Interrupts are off until hlt: what the MSR makes due wakes it, and never comes before. It comes on
// this same stack: its stub, too, finds the vCPU number above its frame, which the CPU aligns to 16
// bytes.
halt:
    wrmsr
    push 40(%rsp)
    sti
    hlt
    add $8, %rsp
    iretq

// Nobody expects one: end this vCPU with a status that says which and where.
exception:
    mov (%rsp), %rbx
    shl $56, %rbx
    or 16(%rsp), %rbx
    mov $STATUS_EXCEPTION, %eax
    jmp finish_forever

// Counts the interrupt in this vCPU's own page and ends it at the local APIC.
interrupt:
    push %rax
    push %rcx
    push %rdx
    mov 24(%rsp), %rcx          // vector
    mov 80(%rsp), %rax          // vCPU number: 40 + error code, vector and three registers
    shl $12, %rax
    lea interrupt_counts(%rax, %rcx, 8), %rax
    incq (%rax)
    mov $0x80b, %ecx            // x2APIC EOI
    xor %eax, %eax
    xor %edx, %edx
    wrmsr
    pop %rdx
    pop %rcx
    pop %rax
    add $16, %rsp
    iretq

    .section .bss
    .global interrupt_counts
    .balign 4096
interrupt_counts:
    .skip MAX_VCPUS * 4096

    .section .note.GNU-stack, "", @progbits
