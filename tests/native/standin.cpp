// A device that is none: a queue whose kernels are those of the CPU's table, for tests of everything above a backend.
//
// Nothing that is enqueued happens before somebody waits for it. With `guarded`, memory of the device can be touched
// only while nothing is enqueued, as on devices that share no pages with a busy CPU.
#include <sys/mman.h>

#include <atomic>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "array/error.h"
#include "kernels/device.h"

using namespace fastnn;

namespace {

const Table<Kernel>* table = nullptr;
bool guarded = false;

using Work = std::function<void()>;
using Graph = std::vector<Work>;
std::recursive_mutex mutex;
std::vector<Work> queue;
thread_local Graph* capturing = nullptr;
std::atomic<int64_t> launches{0}, waits{0}, settled{0};
std::vector<int64_t> ordered;  // pairs of streams
constexpr int64_t stream = 7;  // its own

// ---- memory: one range of addresses, given out block by block, whose bytes mean nothing at first ----

constexpr size_t reserved = size_t{1} << 32;
std::byte* const base = static_cast<std::byte*>(
    mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
std::map<std::byte*, size_t> blocks;         // in use
std::multimap<size_t, std::byte*> returned;  // by size
std::byte* next = base;
int64_t limit = int64_t{1} << 31, in_use = 0;

void protect(int access) {
  if (guarded) mprotect(base, reserved, access);
}

void enqueue(Work work) {
  if (capturing) return capturing->push_back(std::move(work));
  std::lock_guard lock(mutex);
  if (queue.empty()) protect(PROT_NONE);
  queue.push_back(std::move(work));
}

void synchronize() {
  ++waits;
  std::lock_guard lock(mutex);
  protect(PROT_READ | PROT_WRITE);
  std::vector<Work> all = std::move(queue);
  queue.clear();
  for (const Work& work : all) work();
}

std::byte* allocate(int64_t bytes) {
  std::lock_guard lock(mutex);
  size_t size = (static_cast<size_t>(bytes) / 256 + 1) * 256;
  if (in_use + static_cast<int64_t>(size) > limit) throw std::bad_alloc();
  in_use += static_cast<int64_t>(size);
  std::byte* block = next;
  if (auto known = returned.find(size); known != returned.end()) {
    block = known->second;
    returned.erase(known);
  } else {
    next += size;
  }
  blocks[block] = size;
  enqueue([=] { std::memset(block, 0xFF, size); });  // NaN, for all who read before they write
  return block;
}

void release(std::byte* block) {
  std::lock_guard lock(mutex);
  auto known = blocks.find(block);
  in_use -= static_cast<int64_t>(known->second);
  returned.emplace(known->second, block);
  blocks.erase(known);
}

bool owns(const void* memory) { return base <= memory && memory < base + reserved; }

void copy(void* to, const void* from, int64_t bytes) {
  auto size = static_cast<size_t>(bytes);
  if (owns(to) && owns(from)) return enqueue([=] { std::memmove(to, from, size); });
  if (!owns(to)) {
    synchronize();
    std::memcpy(to, from, size);
    return;
  }
  auto* first = static_cast<const std::byte*>(from);
  enqueue([=, bytes = std::vector<std::byte>(first, first + size)] { std::memcpy(to, bytes.data(), size); });
}

// Another stream runs at once: what is to come before has to be over.
void order(void* first, void* then) {
  for (void* each : {first, then}) ordered.push_back(reinterpret_cast<int64_t>(each));
  if (ordered.end()[-2] == stream) synchronize();
}

// ---- kernels: the CPU's, in one thread ----

template <auto entry>
struct On;

const char* library = nullptr;  // for products in tf32 and bf16, once it is loaded

// To as many bits of mantissa as the precision has, to nearest; numbers that are infinite or NaN are not for this.
float rounded(float value, Precision precision) {
  const int dropped = precision == Precision::tf32 ? 13 : 16;
  uint32_t word;
  std::memcpy(&word, &value, 4);
  word = (word + (uint32_t{1} << (dropped - 1)) - 1 + (word >> dropped & 1)) & ~uint32_t{0} << dropped;
  std::memcpy(&value, &word, 4);
  return value;
}

// The factors of a product, rounded, their rows contiguous.
struct Factors {
  std::vector<float> a, b;

  static void lay_out(Product& p) { p.a_row = p.k, p.b_row = p.n, p.a_column = p.b_column = 1; }

  explicit Factors(Product& p) {
    auto fill = [&](std::vector<float>& to, const void*& from, int64_t rows, int64_t row, int64_t columns,
                    int64_t column) {
      for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < columns; ++j)
          to.push_back(rounded(static_cast<const float*>(from)[i * row + j * column], p.precision));
      from = to.data();
    };
    fill(a, p.a, p.m, p.a_row, p.k, p.a_column), fill(b, p.b, p.k, p.b_row, p.n, p.b_column);
    lay_out(p);
  }
};

template <class Arguments>
bool is_rounded(const Arguments& arguments) {
  if constexpr (std::is_same_v<Arguments, Product>) return arguments.precision != Precision::float32;
  return false;
}

template <class Arguments, Kernel<Arguments> Table<Kernel>::* entry>
struct On<entry> {
  static fastnn::Work planned(Arguments& arguments) {
    const Kernel<Arguments>& kernel = table->*entry;
    if (kernel.choose) kernel.choose(arguments);
    return kernel.work(arguments);
  }
  static int64_t aligned(int64_t bytes) { return (bytes + 63) / 64 * 64; }
  static int64_t workspace(const Arguments& given) {
    Arguments arguments = given;
    if constexpr (std::is_same_v<Arguments, Product>)
      if (is_rounded(given)) Factors::lay_out(arguments);
    fastnn::Work work = planned(arguments);
    return aligned(work.workspace) + aligned(work.scratch);
  }
  static void launch(const Arguments& given, std::byte* workspace) {
    ++launches;
    if (is_rounded(given) && !library) throw DeviceError("[standin] no library has been loaded");
    enqueue([given, workspace] {
      Arguments arguments = given;
      std::optional<Factors> factors;
      if constexpr (std::is_same_v<Arguments, Product>)
        if (is_rounded(given)) factors.emplace(arguments);
      fastnn::Work work = planned(arguments);
      for (int phase = 0; phase < work.phases; ++phase)
        (table->*entry).run(arguments, phase, 0, work.items[phase], workspace, workspace + aligned(work.workspace));
    });
  }
};

template <auto entry, class Place>
void fill(Place& place) {
  place = {On<entry>::workspace, On<entry>::launch};
}

Table<DeviceKernel> kernels_of_device() {
  Table<DeviceKernel> all;
#define FASTNN_ON(name) fill<&Table<Kernel>::name>(all.name);
  KERNELS(FASTNN_ON)
#undef FASTNN_ON
  all.exp.workspace = nullptr;  // as a kernel may that needs none
  return all;
}

// Several updates as one launch.
template <auto entry, class Arguments>
void launch_all(const Arguments* updates, int64_t count) {
  ++launches;
  enqueue([each = std::vector<Arguments>(updates, updates + count)] {
    for (Arguments arguments : each)
      (table->*entry).run(arguments, 0, 0, On<entry>::planned(arguments).items[0], nullptr, nullptr);
  });
}

// Any file will do.
const char* load_library(const char* file) {
  if (!library && !std::ifstream(file)) throw DeviceError(std::string(file) + ": no such file");
  return library = "a file";
}

// ---- graphs ----

void begin_graph() { capturing = new Graph; }
int64_t graphs_to_break = 0;
void* end_graph() {
  std::unique_ptr<Graph> graph(std::exchange(capturing, nullptr));
  if (graphs_to_break > 0 && graphs_to_break--) throw DeviceError("[standin] a graph was broken off");
  return graph.release();
}
void launch_graph(void* graph, int64_t times) {
  for (int64_t i = 0; i < times; ++i)
    for (const Work& work : *static_cast<Graph*>(graph)) enqueue(work);
}
void release_graph(void* graph) { delete static_cast<Graph*>(graph); }

void copy_slice(void* to, const void* from, int64_t bytes, const int64_t* index) {
  enqueue([=] { std::memcpy(to, static_cast<const std::byte*>(from) + *index * bytes, static_cast<size_t>(bytes)); });
}
void copy_to_slice(void* to, const void* from, int64_t bytes, const int64_t* index) {
  enqueue([=] { std::memcpy(static_cast<std::byte*>(to) + *index * bytes, from, static_cast<size_t>(bytes)); });
}
void increment(int64_t* index) {
  enqueue([=] { ++*index; });
}

}  // namespace

extern "C" {

// `kernels` is the CPU's table.
const DeviceBackend* standin(const void* kernels, bool is_guarded) {
  static DeviceBackend backend;
  table = static_cast<const Table<Kernel>*>(kernels);
  guarded = is_guarded;
  backend = {device_abi,
             "cuda",
             "a queue on the CPU",
             0,
             reinterpret_cast<void*>(stream),
             allocate,
             release,
             owns,
             [](const void*, int64_t) {},
             copy,
             synchronize,
             order,
             [] { ++settled, synchronize(); },
             begin_graph,
             end_graph,
             launch_graph,
             release_graph,
             copy_slice,
             copy_to_slice,
             increment,
             kernels_of_device(),
             launch_all<&Table<Kernel>::sgd_update, Sgd>,
             launch_all<&Table<Kernel>::adam_update, Adam>,
             load_library};
  return &backend;
}

int64_t standin_launches() { return launches; }
int64_t standin_waits() { return waits; }
int64_t standin_settled() { return settled; }
// The streams of the call of order() before which there have been `number`; 0 where there is none.
int64_t standin_ordered(int64_t number, bool then) {
  auto place = static_cast<size_t>(2 * number + then);
  return place < ordered.size() ? ordered[place] : 0;
}
int64_t standin_in_use() { return in_use; }
void standin_limit(int64_t bytes) { limit = bytes; }
void standin_break_graphs(int64_t number) { graphs_to_break = number; }
void standin_fail() {
  enqueue([] { throw DeviceError("[standin] a kernel failed"); });
}
}
