// Memory for results and workspaces: aligned to cache lines and recycled.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

namespace fastnn {

inline constexpr int64_t alignment = 64;

// A times b; ValueError where the product does not fit, so that no size is ever computed wrong.
int64_t checked_multiply(const char* operation, int64_t a, int64_t b);

// Blocks of memory come back in the sizes they went out in, so freed blocks are kept (up to a limit of 128 MiB for the
// process) and handed out again: fresh pages would cost more than the arithmetic done in them.
// allocate throws std::bad_alloc; a size of 0 gives a valid pointer.
std::byte* allocate(int64_t bytes);
void release(std::byte* block) noexcept;

class Buffer {
 public:
  using Release = void (*)(std::byte* block);

  Buffer() = default;
  explicit Buffer(int64_t bytes) : data_(allocate(bytes)) {}
  Buffer(std::byte* data, Release release) : data_(data), release_(release) {}
  Buffer(Buffer&& other) noexcept : data_(std::exchange(other.data_, nullptr)), release_(other.release_) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(release_, other.release_);
    return *this;
  }
  ~Buffer() {
    if (data_) release_(data_);
  }
  std::byte* data() const { return data_; }

 private:
  std::byte* data_ = nullptr;
  Release release_ = release;
};

}  // namespace fastnn
