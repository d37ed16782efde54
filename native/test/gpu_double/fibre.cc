#include "fibre.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>

// Keeps the registers that a called function has to keep, on the stack that is left, whose end goes to *from; and takes up those of `to`.
extern "C" void gpu_double_switch(void** from, void* to);
extern "C" void gpu_double_begin();

#if defined(__x86_64__)
asm(R"(
.text
.globl gpu_double_switch
.hidden gpu_double_switch
.type gpu_double_switch, @function
gpu_double_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.globl gpu_double_begin
.hidden gpu_double_begin
.type gpu_double_begin, @function
gpu_double_begin:
  movq %r12, %rdi
  call *%r13
  ud2
)");
/// Words of a stack that gpu_double_switch() takes up: r15, r14, r13, r12, rbx, rbp, where to return to, and so many that what is called
/// then finds the stack aligned.
constexpr size_t kSaved = 9, kBody = 2, kArgument = 3, kReturn = 6;
#elif defined(__aarch64__)
asm(R"(
.text
.globl gpu_double_switch
.hidden gpu_double_switch
.type gpu_double_switch, %function
gpu_double_switch:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.globl gpu_double_begin
.hidden gpu_double_begin
.type gpu_double_begin, %function
gpu_double_begin:
  mov x0, x20
  blr x19
  brk #0
)");
constexpr size_t kSaved = 20, kBody = 0, kArgument = 1, kReturn = 11;
#else
#error "the double of a GPU has no switch of stacks for this processor"
#endif

namespace gpu_double {

Fibres::~Fibres() {
  if (stacks_ != nullptr) munmap(stacks_, reserved_ * kStackBytes);
}

void Fibres::start(size_t count, void (*body)(void*), void* argument) {
  if (count > reserved_) {
    if (stacks_ != nullptr) munmap(stacks_, reserved_ * kStackBytes);
    reserved_ = count;
    void* mapped = mmap(nullptr, count * kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) {
      std::perror("gpu double: stacks of a block's threads");
      std::abort();
    }
    stacks_ = static_cast<uint8_t*>(mapped);
    // What overflows a stack ends there.
    for (size_t i = 0; i < count; i++) mprotect(stacks_ + i * kStackBytes, 4096, PROT_NONE);
  }
  fibres_.resize(count);
  for (size_t i = 0; i < count; i++) {
    auto** top = reinterpret_cast<void**>(stacks_ + (i + 1) * kStackBytes) - kSaved;
    std::memset(top, 0, kSaved * sizeof *top);
    top[kBody] = reinterpret_cast<void*>(body);
    top[kArgument] = argument;
    top[kReturn] = reinterpret_cast<void*>(gpu_double_begin);
    fibres_[i] = top;
  }
}

void Fibres::enter(size_t index) {
  current_ = index;
  gpu_double_switch(&outside_, fibres_[index]);
}

void Fibres::leave() { gpu_double_switch(&fibres_[current_], outside_); }

}  // namespace gpu_double
