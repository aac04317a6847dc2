// Where memory of the device stands while it is kept on a multiprocessor: plain arithmetic of the host.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace fastnn::cuda {

// `bytes` from `memory` on stand at `place`; all three are multiples of `Layout::unit`.
struct Region {
  std::byte* memory;
  int64_t bytes, place;
};

class Layout {
 public:
  static constexpr int64_t unit = 16;  // of copies; what shares a unit shares a region

  // The memory, at least a byte, is kept on chip. What overlaps or is adjacent stays so.
  void keep(const void* memory, int64_t bytes) {
    const int64_t first = address(memory) / unit * unit, last = (address(memory) + bytes + unit - 1) / unit * unit;
    regions_.push_back({reinterpret_cast<std::byte*>(first), last - first, 0});
  }

  // Places all that is kept, one region behind the other from `first` on; returns the end.
  int64_t settle(int64_t first) {
    std::sort(regions_.begin(), regions_.end(), [](const Region& a, const Region& b) { return a.memory < b.memory; });
    std::vector<Region> merged;
    for (const Region& region : regions_) {
      if (merged.empty() || merged.back().memory + merged.back().bytes < region.memory) merged.push_back(region);
      else merged.back().bytes = std::max(merged.back().bytes, region.memory + region.bytes - merged.back().memory);
    }
    for (Region& region : merged) region.place = first, first += region.bytes;
    regions_ = std::move(merged);
    return first;
  }

  // Where memory that is kept stands.
  int64_t place_of(const void* memory) const {
    const Region& region = *std::find_if(regions_.begin(), regions_.end(), [&](const Region& r) {
      return address(r.memory) <= address(memory) && address(memory) < address(r.memory) + r.bytes;
    });
    return region.place + (address(memory) - address(region.memory));
  }

  bool keeps_any(const void* memory, int64_t bytes) const {
    return std::any_of(regions_.begin(), regions_.end(), [&](const Region& r) {
      return address(r.memory) < address(memory) + bytes && address(memory) < address(r.memory) + r.bytes;
    });
  }

  const std::vector<Region>& regions() const { return regions_; }

 private:
  static int64_t address(const void* memory) { return static_cast<int64_t>(reinterpret_cast<uintptr_t>(memory)); }

  std::vector<Region> regions_;
};

}  // namespace fastnn::cuda
