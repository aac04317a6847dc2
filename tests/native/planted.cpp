// Bugs for the sanitizers to find, one for each run: kernels called without the checks before them, memory misused, two
// threads that write to one place.
#include <cstdlib>
#include <string>
#include <vector>

#include "array/buffer.h"
#include "kernels/dispatch.h"
#include "team/team.h"

namespace {

using namespace fastnn;

// What the compiler cannot know.
int64_t number(const char* text) { return std::strtoll(text, nullptr, 10); }

// A class that there is not; the kernel assumes that it was checked.
void label() {
  std::vector<float> x(6), out(1);
  std::vector<int64_t> row{0}, column{number("7")};
  Pick pick{DType::float32, 1, 6, 1, row.data(), column.data(), x.data(), out.data(), 6, 1};
  kernels().pick.run(pick, 0, 0, 1, nullptr, nullptr);
}

void overrun() {
  std::byte* block = allocate(number("256"));
  block[number("256")] = std::byte{1};
  release(block);
}

void use_after_release() {
  auto* x = new std::vector<float>(3);
  float* first = x->data();
  delete x;
  first[number("1")] = 1;
}

void stack() {
  int64_t sides[max_rank] = {};
  sides[number("8")] = 1;
  volatile int64_t used = sides[number("3")];
  (void)used;
}

void leak() {
  void* volatile block = std::malloc(static_cast<size_t>(number("12345")));
  block = nullptr;
  (void)block;
}

void overflow() {
  volatile int64_t elements = number("9223372036854775807");
  elements = elements * 2;
}

void shift() {
  volatile int64_t bits = number("64");
  bits = int64_t{1} << bits;
}

void race() {
  volatile int64_t sum = 0;
  auto add = [](void* context, int64_t, int64_t, int) {
    auto& total = *static_cast<volatile int64_t*>(context);
    for (int i = 0; i < 100'000; ++i) total = total + 1;
  };
  for (int turn = 0; turn < 100; ++turn) run_on_team(100, 4, add, const_cast<int64_t*>(&sum));
}

}  // namespace

int main(int, char** arguments) {
  const std::string bug = arguments[1];
  if (bug == "label") label();
  if (bug == "overrun") overrun();
  if (bug == "use_after_release") use_after_release();
  if (bug == "stack") stack();
  if (bug == "leak") leak();
  if (bug == "overflow") overflow();
  if (bug == "shift") shift();
  if (bug == "race") race();
}
