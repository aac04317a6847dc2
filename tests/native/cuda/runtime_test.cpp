// What stands around the kernels of csrc/cuda: launch geometry and tiles, which are arithmetic of the host; memory,
// graphs and slices, emulated.
#include <array>
#include <cstring>
#include <thread>

#include "checks.h"
#include "cuda/backend.h"
#include "cuda/launch.h"
#include "cuda/product.h"
#include "kernel_names.h"

namespace {

using cuda::backend;

// ---- geometry -----------------------------------------------------------------------------------------------------

void test_a_grid_has_threads_for_all_elements_or_is_as_large_as_it_gets() {
  for (int64_t count : {int64_t{0}, int64_t{1}, int64_t{255}, int64_t{256}, int64_t{257}, int64_t{1} << 40}) {
    for (int64_t each : {1, 4}) {
      cuda::Geometry g = cuda::geometry_of(count, each);
      int64_t room = int64_t{g.blocks.x} * g.threads.x * each;
      CHECK(g.blocks.x >= 1 && g.blocks.x <= 1 << 14 && g.threads.x == 256);
      CHECK(room >= count || g.blocks.x == 1 << 14);
      CHECK(room - count <= 256 * each || g.blocks.x == 1 << 14 || count == 0);
    }
  }
}

void test_threads_run_along_rows_before_they_run_along_columns() {
  for (int64_t width : {1, 2, 3, 17, 255, 256, 1000}) {
    cuda::Geometry g = cuda::geometry_of_rows(1000, width);
    CHECK(g.threads.x * g.threads.y == 256);
    CHECK(g.threads.x >= width || g.threads.x == 256);
    CHECK(g.threads.x < 2 * width);
    CHECK(int64_t{g.blocks.x} * g.threads.y >= 1000);
  }
}

void test_tiles_are_as_large_as_leaves_no_multiprocessor_without_one() {
  auto tile_of = [](int64_t m, int64_t n, int64_t k) {
    const cuda::Tile& tile = cuda::float_tiles[cuda::choose_tile(cuda::float_tiles, m, n, k, 132)];
    return std::array{tile.rows, tile.columns, tile.groups};
  };
  CHECK((tile_of(4096, 4096, 4096) == std::array{128, 128, 1}));
  CHECK((tile_of(512, 2048, 1024) == std::array{64, 64, 1}));
  CHECK((tile_of(256, 784, 256) == std::array{32, 32, 1}));
  CHECK((tile_of(256, 10, 256) == std::array{16, 16, 1}));
}

void test_small_products_of_several_chunks_have_a_group_for_each() {
  for (int64_t k : {0, 256})
    CHECK(cuda::float_tiles[cuda::choose_tile(cuda::float_tiles, 256, 256, k, 132)].groups == 1);
  for (int64_t k : {257, 784})
    CHECK(cuda::float_tiles[cuda::choose_tile(cuda::float_tiles, 256, 256, k, 132)].groups == 4);
  const cuda::Tile& narrow = cuda::float_tiles[cuda::choose_tile(cuda::float_tiles, 256, 10, 784, 132)];
  CHECK(narrow.columns == 16 && narrow.groups == 4);
}

void test_all_tiles_have_256_threads() {
  for (const cuda::Tile& tile : cuda::float_tiles) CHECK(tile.threads() == 256);
  for (const cuda::Tile& tile : cuda::double_tiles) CHECK(tile.threads() == 256);
}

// ---- memory -------------------------------------------------------------------------------------------------------

void test_memory_is_aligned_owned_and_given_out_again() {
  std::byte* block = backend().allocate(1000);
  CHECK(reinterpret_cast<uintptr_t>(block) % 256 == 0);
  CHECK(backend().owns(block) && backend().owns(block + 999));
  int elsewhere = 0;
  CHECK(!backend().owns(&elsewhere) && !backend().owns(nullptr));
  backend().release(block);
  CHECK(backend().allocate(1000) == block);
  backend().release(block);
  std::byte* nothing = backend().allocate(0);
  CHECK(nothing && backend().owns(nothing));
  backend().release(nothing);
}

void test_memory_that_is_not_there_is_a_bad_alloc_and_changes_nothing() {
  auto error_of = [](int64_t bytes) -> std::string {
    try {
      backend().allocate(bytes);
    } catch (const std::bad_alloc& error) {
      return error.what();
    }
    return "";
  };
  CHECK(error_of(int64_t{1} << 50).find("[cuda] could not take") == 0);
  for (int64_t bytes : {int64_t{-1}, INT64_MAX}) CHECK(error_of(bytes).find("[cuda] no memory of") == 0);
  std::byte* block = backend().allocate(8);
  CHECK(backend().owns(block));
  backend().release(block);
}

void test_copies_run_in_order_with_kernels() {
  int64_t here = 41, *there = reinterpret_cast<int64_t*>(backend().allocate(8));
  backend().copy(there, &here, 8);
  here = 0;
  backend().increment(there);
  backend().copy(&here, there, 8);
  CHECK(here == 42);
  backend().release(reinterpret_cast<std::byte*>(there));
}

void test_copies_stay_on_the_device() {
  int64_t here = 7;
  std::byte *from = backend().allocate(8), *to = backend().allocate(8);
  backend().copy(from, &here, 8);
  backend().copy(to, from, 8);
  backend().copy(&here, to, 8);
  CHECK(here == 7);
  for (std::byte* block : {from, to}) backend().release(block);
}

void test_slices_have_any_number_of_bytes() {
  constexpr int64_t slices = 3;
  for (int64_t bytes : {1, 3, 4, 8, 12, 1000}) {
    std::byte *table = backend().allocate(slices * bytes), *slice = backend().allocate(bytes);
    int64_t* index = reinterpret_cast<int64_t*>(backend().allocate(8));
    for (int64_t i = 0; i < slices * bytes; ++i) table[i] = static_cast<std::byte>(7 * i + bytes);
    *index = 1;
    backend().copy_slice(slice, table, bytes, index);
    backend().increment(index);
    backend().copy_to_slice(table, slice, bytes, index);
    backend().synchronize();
    CHECK(std::memcmp(slice, table + bytes, static_cast<size_t>(bytes)) == 0);
    CHECK(std::memcmp(table + 2 * bytes, table + bytes, static_cast<size_t>(bytes)) == 0);
    for (std::byte* block : {table, slice, reinterpret_cast<std::byte*>(index)}) backend().release(block);
  }
}

void test_another_stream_comes_after_what_is_enqueued() {
  int64_t* there = reinterpret_cast<int64_t*>(backend().allocate(8));
  *there = 41;
  backend().increment(there);
  CHECK(*there == 41);
  backend().order(backend().stream, reinterpret_cast<void*>(1));
  CHECK(*there == 42);
  backend().increment(there);
  backend().order(reinterpret_cast<void*>(1), backend().stream);
  CHECK(*there == 42);
  backend().settle();
  CHECK(*there == 43 && backend().number == 0);
  backend().release(reinterpret_cast<std::byte*>(there));
}

// ---- graphs -------------------------------------------------------------------------------------------------------

// Sums slices of a table into a ring, as a training step reads its batch and writes its loss.
void test_a_graph_steps_through_slices() {
  constexpr int64_t steps = 5, width = 3;
  float* table = reinterpret_cast<float*>(backend().allocate(steps * width * 4));
  float* slice = reinterpret_cast<float*>(backend().allocate(width * 4));
  float *sum = reinterpret_cast<float*>(backend().allocate(4)),
        *ring = reinterpret_cast<float*>(backend().allocate(steps * 4));
  int64_t* step = reinterpret_cast<int64_t*>(backend().allocate(8));
  for (int64_t i = 0; i < steps * width; ++i) table[i] = static_cast<float>(i);
  *step = 0;
  std::memset(ring, 0, steps * 4);
  backend().begin_graph();
  backend().copy_slice(slice, table, width * 4, step);
  backend().kernels.sum.launch({f32, 1, width, 1, slice, sum}, nullptr);
  backend().copy_to_slice(ring, sum, 4, step);
  backend().increment(step);
  void* graph = backend().end_graph();
  CHECK(*step == 0);
  backend().launch_graph(graph, 2);
  backend().launch_graph(graph, steps - 2);
  CHECK(*step == 0);  // nothing has waited
  backend().synchronize();
  CHECK(*step == steps);
  for (int64_t i = 0; i < steps; ++i) CHECK(ring[i] == static_cast<float>(9 * i + 3));
  backend().release_graph(graph);
  for (void* block : {static_cast<void*>(table), static_cast<void*>(slice), static_cast<void*>(sum),
                      static_cast<void*>(ring), static_cast<void*>(step)})
    backend().release(static_cast<std::byte*>(block));
}

void test_what_other_threads_enqueue_is_no_part_of_a_graph() {
  int64_t* there = reinterpret_cast<int64_t*>(backend().allocate(16));
  there[0] = there[1] = 0;
  backend().begin_graph();
  backend().increment(there);
  std::thread([&] {
    backend().begin_graph();
    backend().increment(there + 1);
    void* graph = backend().end_graph();
    backend().increment(there + 1);
    backend().launch_graph(graph, 2);
    backend().synchronize();
    backend().release_graph(graph);
  }).join();
  CHECK(there[0] == 0 && there[1] == 3);
  void* graph = backend().end_graph();
  backend().launch_graph(graph, 4);
  backend().synchronize();
  CHECK(there[0] == 4 && there[1] == 3);
  backend().release_graph(graph);
  backend().release(reinterpret_cast<std::byte*>(there));
}

// ---- the table ----------------------------------------------------------------------------------------------------

void test_every_kernel_of_the_contract_is_there() {
  const Table<DeviceKernel>& table = backend().kernels;
  int count = 0;
#define FASTNN_CHECK(name)             \
  CHECK(table.name.launch != nullptr); \
  ++count;
  FASTNN_EACH_KERNEL(FASTNN_CHECK)
#undef FASTNN_CHECK
  CHECK(count * sizeof(DeviceKernel<Product>) == sizeof(table));
}

}  // namespace

int main() {
  test_a_grid_has_threads_for_all_elements_or_is_as_large_as_it_gets();
  test_threads_run_along_rows_before_they_run_along_columns();
  test_tiles_are_as_large_as_leaves_no_multiprocessor_without_one();
  test_small_products_of_several_chunks_have_a_group_for_each();
  test_all_tiles_have_256_threads();
  test_memory_is_aligned_owned_and_given_out_again();
  test_memory_that_is_not_there_is_a_bad_alloc_and_changes_nothing();
  test_copies_run_in_order_with_kernels();
  test_copies_stay_on_the_device();
  test_slices_have_any_number_of_bytes();
  test_another_stream_comes_after_what_is_enqueued();
  test_a_graph_steps_through_slices();
  test_what_other_threads_enqueue_is_no_part_of_a_graph();
  test_every_kernel_of_the_contract_is_there();
  return report();
}
