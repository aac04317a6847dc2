#include "engine/chain.h"

#include <algorithm>

namespace fastnn::engine {
namespace {

constexpr int64_t block = 4096;  // elements: a few arrays of so many floats stay in L1

int64_t count_of(const View& view) {
  int64_t count = 1;
  for (int i = 0; i < view.rank; ++i) count *= view.shape[i];
  return count;
}

// Where a view reads or writes: between `first` and `last`, and `pitch` bytes further in each row, 0 where all rows are
// one. A view of one axis has `width` elements in a row.
struct Region {
  const std::byte *first, *last;
  int64_t pitch;
};

Region region_of(const View& v, int64_t width) {
  int64_t size = item_size(v.dtype), last = 0;
  for (int i = 0; i < v.rank; ++i) last += v.strides[i] * (v.shape[i] - 1);
  return {v.data, v.data + (last + 1) * size, v.strides[0] * (v.rank == 1 ? width : 1) * size};
}

// Whether each row has places of its own, or all have the same.
bool has_rows(const View& v) {
  if (!v.data) return true;
  if (v.rank == 1) return v.strides[0] >= 0;
  int64_t extent = v.strides[1] * (v.shape[1] - 1) + 1;
  return v.strides[1] >= 0 && (v.strides[0] == 0 || v.strides[0] >= extent);
}

// Of which one is written, and so has no two rows in one place.
bool are_independent(const Region& a, const Region& b) {
  return a.last <= b.first || b.last <= a.first || (a.first == b.first && a.pitch == b.pitch);
}

// Whether blocks of rows of two kernels may take turns: neither writes what the other reads or writes in another row.
bool may_take_turns(const Elementwise& a, const Elementwise& b, int64_t width) {
  Region out_a = region_of(a.out, width), out_b = region_of(b.out, width);
  bool may = are_independent(out_a, out_b);
  for (const View& in : a.in) may = may && (!in.data || are_independent(region_of(in, width), out_b));
  for (const View& in : b.in) may = may && (!in.data || are_independent(out_a, region_of(in, width)));
  return may;
}

}  // namespace

bool Chain::extend(const Node& node) {
  auto* link = dynamic_cast<const KernelNode<Elementwise>*>(&node);
  if (!link) return false;
  const Elementwise& e = link->arguments();
  if (e.out.rank > 2 || (!links_.empty() && count_of(e.out) != count_)) return false;
  const int64_t width = e.out.rank == 2 ? e.out.shape[1] : width_;
  if (width != width_ && width_ != 1) return false;
  if (!has_rows(e.out) || !std::all_of(std::begin(e.in), std::end(e.in), has_rows)) return false;
  links_.push_back({link, link->work()});
  // All pairs: with a width, there may be other rows than before.
  for (size_t i = 0; i < links_.size(); ++i)
    for (size_t j = 0; j < i; ++j)
      if (!may_take_turns(links_[j].node->arguments(), links_[i].node->arguments(), width)) {
        links_.pop_back();
        return false;
      }
  count_ = count_of(e.out);
  width_ = width;
  return true;
}

int64_t Chain::rows_of_item() const { return std::max<int64_t>(1, block / width_); }
int64_t Chain::items() const { return (count_ / width_ + rows_of_item() - 1) / rows_of_item(); }

Work Chain::work() const {
  double cost = 0;
  for (const Link& link : links_) cost += static_cast<double>(link.work.items[0]) * link.work.cost[0];
  return {1, {items()}, {cost / static_cast<double>(items())}, 0, 0};
}

void Chain::run(int, int64_t first, int64_t last, std::byte* workspace, std::byte* scratch) const {
  if (items() == 1) {
    for (const Link& link : links_) link.node->run(0, 0, link.work.items[0], workspace, scratch);
    return;
  }
  const int64_t rows = rows_of_item();
  for (int64_t item = first; item < last; ++item) {
    const int64_t begin = item * rows, height = std::min(rows, count_ / width_ - begin);
    for (const Link& link : links_) {
      Elementwise part = link.node->arguments();
      auto cut = [&](View& v) {
        const int64_t steps = v.rank == 1 ? width_ : 1;  // of the first axis, to a row
        v.data += begin * steps * v.strides[0] * item_size(v.dtype);
        v.shape[0] = height * steps;
      };
      cut(part.out);
      for (View& in : part.in)
        if (in.data) cut(in);
      const Kernel<Elementwise>& kernel = link.node->kernel();
      kernel.run(part, 0, 0, kernel.work(part).items[0], workspace, scratch);
    }
  }
}

}  // namespace fastnn::engine
