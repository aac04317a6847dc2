// How a kernel is given to the device: its geometry, which is arithmetic on the host, and the launch itself.
//
// Threads walk over more elements than there are of them in steps of the whole grid, so that a grid of bounded size
// does work of any size. What an element becomes depends on its place alone, never on the geometry.
#pragma once

#include "cuda/recording.h"
#include "cuda/runtime.h"

namespace fastnn::cuda {

inline constexpr int warp = 32;

struct Geometry {
  dim3 blocks, threads;
  int64_t shared = 0;  // bytes, beside what the kernel names itself
};

// For `count` independent elements, `each` of them per thread: enough blocks to fill any device several times.
constexpr Geometry geometry_of(int64_t count, int64_t each = 1, int threads = 256) {
  constexpr int64_t most = 1 << 14;
  int64_t per_block = each * threads, blocks = (count + per_block - 1) / per_block;
  return {static_cast<unsigned>(blocks < 1 ? 1 : blocks < most ? blocks : most), static_cast<unsigned>(threads)};
}

// For rows of `width` elements: threads run along a row as far as it reaches, then along rows.
constexpr Geometry geometry_of_rows(int64_t rows, int64_t width, int threads = 256) {
  int across = 1;
  while (across < width && across < threads) across *= 2;
  int64_t down = threads / across, blocks = (rows + down - 1) / down;
  constexpr int64_t most = 1 << 14;
  return {static_cast<unsigned>(blocks < 1      ? 1
                                : blocks < most ? blocks
                                                : most),
          {static_cast<unsigned>(across), static_cast<unsigned>(down)}};
}

// Enqueues kernel(arguments...).
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), const Geometry& geometry, const Arguments&... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = geometry.blocks;
  config.blockDim = geometry.threads;
  config.dynamicSmemBytes = static_cast<size_t>(geometry.shared);
  config.stream = current_stream();
  note_launch();
  check(cudaLaunchKernelEx(&config, kernel, arguments...), "launch a kernel");
}

}  // namespace fastnn::cuda
