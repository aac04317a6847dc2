// The floating-point environment of a thread: rounding, and what becomes of subnormal numbers.
//
// It is the calling program's to choose (libraries built with -ffast-math switch on flush-to-zero where they are
// loaded, PyTorch has torch.set_flush_denormal), and would give the caller's items other bits than the workers'.
#pragma once

#include <cstdint>

namespace fastnn {

// While it lives, its thread rounds to nearest, keeps subnormals and traps nothing. Nanoseconds where that is so
// anyway.
class FloatEnvironment {
 public:
  FloatEnvironment() : before_(control()) {
    if (differs()) set_control(standard);
  }
  ~FloatEnvironment() {
    if (differs()) set_control(before_);
  }
  FloatEnvironment(const FloatEnvironment&) = delete;
  FloatEnvironment& operator=(const FloatEnvironment&) = delete;

 private:
#if defined(__x86_64__)
  static constexpr uint64_t standard = 0x1F80, flags = 0x3F;  // MXCSR; its flags tell what has happened
  static uint64_t control() { return __builtin_ia32_stmxcsr(); }
  static void set_control(uint64_t value) { __builtin_ia32_ldmxcsr(static_cast<unsigned>(value)); }
#elif defined(__aarch64__)
  static constexpr uint64_t standard = 0, flags = 0;  // FPCR
  static uint64_t control() {
    uint64_t value;
    asm volatile("mrs %0, fpcr" : "=r"(value));
    return value;
  }
  static void set_control(uint64_t value) { asm volatile("msr fpcr, %0" : : "r"(value)); }
#else
  static constexpr uint64_t standard = 0, flags = 0;
  static uint64_t control() { return 0; }
  static void set_control(uint64_t) {}
#endif
  bool differs() const { return (before_ & ~flags) != standard; }

  uint64_t before_;
};

}  // namespace fastnn
