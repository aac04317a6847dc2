#include "array/buffer.h"

#include <array>
#include <bit>
#include <limits>
#include <mutex>
#include <new>
#include <vector>

#include "array/error.h"
#include "array/fork.h"

namespace fastnn {
namespace {

constexpr int64_t kept_limit = int64_t{128} << 20;
constexpr int classes = 4 * 48;

// Before each block stands the class it belongs to, in a cache line of its own so that the block stays aligned.
struct Header {
  int size_class;
  int64_t bytes;
};
static_assert(sizeof(Header) <= alignment);

// Four classes to each power of two: at most a quarter of a block is unused.
int class_of(int64_t bytes) {
  uint64_t n = bytes < 256 ? 256 : static_cast<uint64_t>(bytes);
  int power = std::bit_width(n - 1) - 1;  // 2^power < n <= 2^(power + 1)
  int quarter = static_cast<int>((n - 1) >> (power - 2)) & 3;
  return (power - 7) * 4 + quarter;
}

int64_t size_of(int size_class) { return int64_t{5 + size_class % 4} << (size_class / 4 + 7 - 2); }

struct Pool {
  std::mutex mutex;
  std::array<std::vector<std::byte*>, classes> free;
  int64_t kept = 0;
};

// Never destroyed: arrays may outlive every static. Locked across a fork, so that the child finds it whole.
Pool& pool() {
  static Pool* the_pool = [] {
    at_fork([] { pool().mutex.lock(); }, [] { pool().mutex.unlock(); }, [] { pool().mutex.unlock(); });
    return new Pool;
  }();
  return *the_pool;
}

}  // namespace

int64_t checked_multiply(const char* operation, int64_t a, int64_t b) {
  int64_t product;
  if (__builtin_mul_overflow(a, b, &product)) raise<ValueError>(operation, "size overflows: ", a, " times ", b);
  return product;
}

std::byte* allocate(int64_t bytes) {
  if (bytes > std::numeric_limits<int64_t>::max() / 4) throw std::bad_alloc();
  int size_class = class_of(bytes);
  if (size_class >= classes) throw std::bad_alloc();
  int64_t size = size_of(size_class);
  {
    Pool& p = pool();
    std::lock_guard lock(p.mutex);
    auto& list = p.free[static_cast<size_t>(size_class)];
    if (!list.empty()) {
      std::byte* block = list.back();
      list.pop_back();
      p.kept -= size;
      return block;
    }
  }
  // Not the form that throws: a sanitizer would end the process in it.
  auto* raw = static_cast<std::byte*>(
      ::operator new(static_cast<size_t>(size + alignment), std::align_val_t{alignment}, std::nothrow));
  if (!raw) throw std::bad_alloc();
  new (raw) Header{size_class, size};
  return raw + alignment;
}

void release(std::byte* block) noexcept {
  Header header = *reinterpret_cast<Header*>(block - alignment);
  Pool& p = pool();
  {
    std::lock_guard lock(p.mutex);
    if (p.kept + header.bytes <= kept_limit) {
      try {
        p.free[static_cast<size_t>(header.size_class)].push_back(block);
        p.kept += header.bytes;
        return;
      } catch (const std::bad_alloc&) {
        // No room to remember it: give it back instead.
      }
    }
  }
  ::operator delete(block - alignment, std::align_val_t{alignment});
}

}  // namespace fastnn
