#include "kernels/dispatch.h"

#include <cstdlib>
#include <cstring>

#include "array/error.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace fastnn {

// One per compilation, from cpu/table.cpp.
#define FASTNN_DECLARE(isa)      \
  namespace isa {                \
  void fill_table(KernelTable&); \
  }
#if defined(__aarch64__)
FASTNN_DECLARE(neon)
#else
FASTNN_DECLARE(baseline)
#if defined(FASTNN_X86_LEVELS)
FASTNN_DECLARE(avx2)
FASTNN_DECLARE(avx512)
#endif
#endif
#undef FASTNN_DECLARE

namespace {

#if defined(FASTNN_X86_LEVELS)
// What the operating system saves on a context switch (XGETBV), and what the CPU can do (CPUID leaves 1 and 7).
struct CpuFeatures {
  bool avx2_fma = false, avx512 = false;

  CpuFeatures() {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return;
    bool fma = c & bit_FMA, avx = c & bit_AVX;
    unsigned low, high;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    bool saves_ymm = (low & 0x6) == 0x6, saves_zmm = (low & 0xE6) == 0xE6;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return;
    bool level3 = avx && fma && (b & bit_AVX2) && (b & bit_BMI) && (b & bit_BMI2);
    avx2_fma = level3 && saves_ymm;
    avx512 = avx2_fma && saves_zmm && (b & bit_AVX512F) && (b & bit_AVX512BW) && (b & bit_AVX512CD) &&
             (b & bit_AVX512DQ) && (b & bit_AVX512VL);
  }
};
#endif

struct Level {
  const char* name;
  void (*fill)(KernelTable&);
};

std::vector<Level> runnable() {
#if defined(__aarch64__)
  return {{"neon", neon::fill_table}};
#else
  std::vector<Level> levels{{"baseline", baseline::fill_table}};
#if defined(FASTNN_X86_LEVELS)
  CpuFeatures cpu;
  if (cpu.avx2_fma) levels.push_back({"avx2", avx2::fill_table});
  if (cpu.avx512) levels.push_back({"avx512", avx512::fill_table});
#endif
  return levels;
#endif
}

KernelTable choose() {
  std::vector<Level> levels = runnable();
  const Level* chosen = &levels.back();
  const char* wanted = std::getenv("FASTNN_ISA");
  if (wanted && *wanted) {
    chosen = nullptr;
    std::string names;
    for (const Level& level : levels) {
      if (std::strcmp(level.name, wanted) == 0) chosen = &level;
      names += (names.empty() ? "" : ", ") + std::string(level.name);
    }
    if (!chosen) raise<ValueError>("FASTNN_ISA", "'", wanted, "' cannot run here; this machine runs: ", names);
  }
  KernelTable table{};
  chosen->fill(table);
  return table;
}

}  // namespace

const KernelTable& kernels() {
  static const KernelTable table = choose();
  return table;
}

std::vector<std::string> runnable_isas() {
  std::vector<std::string> names;
  for (const Level& level : runnable()) names.push_back(level.name);
  return names;
}

void register_device(const DeviceBackend& backend) {
  if (backend.abi != device_abi)
    raise<DeviceError>("register_device", "the backend was compiled for version ", backend.abi,
                       " of the interface, and not for ", device_abi, ": install it anew, of this version");
  const DeviceBackend* before = nullptr;
  if (!registered_device.compare_exchange_strong(before, &backend) && before != &backend)
    raise<DeviceError>("register_device", before->name, " is registered already: there is one device for a process");
}

}  // namespace fastnn
