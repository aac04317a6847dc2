// The bits of every kernel, and of a short training, as one hash each: the same for every instruction set with fused
// multiply-add, for every compiler and every number of threads.
//
//   bits_test avx2 bits.txt     compares with the hashes in bits.txt
//   bits_test avx2 > bits.txt   writes them anew, where an expression of docs/numerics.md has been changed on purpose
//
// All numbers come from integers, scaled by powers of two; no function of a C library has a say in them.
#include "bits.h"

#include <cstdlib>
#include <fstream>
#include <map>

#include "checks.h"

namespace {

// ---- a training ---------------------------------------------------------------------------------------------------

// A program: two layers with tanh and dropout between them, by SGD, with momentum for one and Adam for another
// parameter.
void training(Run& run) {
  constexpr int64_t rows = 300, inputs = 75, hiddens = 33, classes = 10, batch = 50, steps = 40;
  Array images = run.numbers(u8, {rows, inputs}), labels = run.labels(rows, classes),
        order = run.labels(steps * batch, rows);
  Array weight1 = run.numbers(f32, {hiddens, inputs}), bias1 = run.numbers(f32, {hiddens});
  Array weight2 = run.numbers(f32, {classes, hiddens}), bias2 = run.numbers(f32, {classes});
  for (Array* weight : {&weight1, &weight2})
    for (int64_t i = 0, n = count_of(weight->view); i < n; ++i) weight->as<float>()[i] *= 0x1p-5f;
  Array velocity(f32, {classes, hiddens}), mean(f32, {classes}), square(f32, {classes});
  Array picked(i64, {batch}), y(i64, {batch}), loss(f32, {});
  Array x(f32, {batch, inputs}), hidden(f32, {batch, hiddens}), kept(f32, {batch, hiddens}),
      logits(f32, {batch, classes});
  Array grad(f32, {batch, classes}), grad_kept(f32, {batch, hiddens}), grad_hidden(f32, {batch, hiddens});
  Array grad_sum(f32, {batch, hiddens}), bias_grad1(f32, {hiddens}), bias_grad2(f32, {classes});
  double lr = 0, step = 0;

  engine::Program program({loss.view});
  Call call{"training", run.threads, nullptr, &program};
  auto into = [](const Array& array) { return Into(array.view); };
  auto dropped = [&](const Array& from, const Array& to) {
    Into out = into(to);
    eager::dropout(call, from.named("x"), 0.25, {7, purpose_dropout, {0, &step}, 0}, out);
  };
  auto summed = [&](const Array& from, const Array& to) {
    Into out = into(to);
    eager::reduce(call, kernels().sum, eager::Reducing::sum, from.named("x"), std::vector<int64_t>{0}, false, out);
  };
  Into to_x = into(x), to_y = into(y), to_hidden = into(hidden), to_logits = into(logits), to_loss = into(loss);
  Into to_grad = into(grad), to_grad_kept = into(grad_kept), to_grad_sum = into(grad_sum);
  Argument first_bias = bias1.named("bias"), second_bias = bias2.named("bias"), moving = velocity.named("velocity");
  Integers target = y.integers("target");
  eager::gather(call, images.named("data"), picked.integers("indices"), 255, {}, to_x);
  eager::gather(call, labels.named("data"), picked.integers("indices"), 1, {}, to_y);
  eager::linear(call, x.named("x"), weight1.named("weight"), &first_bias, "tanh", to_hidden);
  dropped(hidden, kept);
  eager::linear(call, kept.named("x"), weight2.named("weight"), &second_bias, nullptr, to_logits);
  eager::cross_entropy(call, logits.named("logits"), &target, nullptr, nullptr, {}, to_loss, &to_grad);
  eager::matmul(call, grad.named("a"), weight2.named("b"), nullptr, {}, to_grad_kept);
  dropped(grad_kept, grad_hidden);
  eager::elementwise(call, kernels().tanh_backward, eager::Types::floating,
                     {grad_hidden.named("grad"), hidden.named("y")}, to_grad_sum);
  summed(grad, bias_grad2), summed(grad_sum, bias_grad1);
  eager::matmul_sgd_update(call, weight2.named("param"), grad.named("a"), kept.named("b"), &moving, true, false,
                           {{0, &lr}, 0.9});
  eager::matmul_sgd_update(call, weight1.named("param"), grad_sum.named("a"), x.named("b"), nullptr, true, false,
                           {{0, &lr}});
  eager::sgd_update(call, bias1.named("param"), bias_grad1.named("grad"), nullptr, {{0, &lr}});
  eager::adam_update(call, bias2.named("param"), bias_grad2.named("grad"), mean.named("exp_avg"),
                     square.named("exp_avg_sq"), {{0, &lr}, {0.1}, {0.001}});

  std::vector<double> values, losses(steps);
  for (int64_t i = 0; i < steps; ++i)
    values.insert(values.end(), {0.5 / static_cast<double>(i + 2), static_cast<double>(i)});
  program.run({steps, order.as<int64_t>(), batch, picked.as<int64_t>(), {&lr, &step}, values.data(), losses.data()},
              run.threads);
  run.keep_elements(losses.data(), steps);
  for (const Array* state : {&weight1, &bias1, &weight2, &bias2, &velocity, &mean, &square}) run.keep(*state);
  CHECK(losses.back() < losses.front());
}

void set_environment(const char* name, const char* value) {
#ifdef _WIN32
  _putenv_s(name, value);
#else
  setenv(name, value, 1);
#endif
}

// ---- all of them ------------------------------------------------------------------------------------------------

std::string hash_of(const Case& c) {
  std::string first;
  const bool by_threads = kernels().isa != std::string("emulated");
  for (int threads = 1; threads <= (by_threads ? 3 : 1); ++threads) {
    Run run(c.kernel, threads);
    c.run(run);
    char text[17];
    std::snprintf(text, sizeof(text), "%016llx", static_cast<unsigned long long>(run.hash));
    if (first.empty()) first = text;
    CHECK(first == text);
  }
  return first;
}

std::map<std::string, std::string> read(const char* path) {
  std::map<std::string, std::string> hashes;
  std::ifstream file(path);
  for (std::string name; file >> name;) file >> hashes[name];
  return hashes;
}

}  // namespace

int main(int count, char** arguments) {
  std::string isa = count > 1 ? arguments[1] : "";
  bool runs = false;
  for (const std::string& runnable : runnable_isas()) runs |= runnable == isa;
  if (!runs) {
    std::printf("skipped: this CPU cannot run '%s'\n", isa.c_str());
    return 77;
  }
  set_environment("FASTNN_ISA", isa.c_str());
  std::vector<Case> cases = kernel_cases();
  cases.push_back({"training", training});
  if (count == 2) {
    for (const Case& c : cases) std::printf("%s %s\n", c.kernel, hash_of(c).c_str());
    return failures ? 1 : 0;
  }
  std::map<std::string, std::string> expected = read(arguments[2]);
  CHECK(expected.size() == cases.size());
  for (const Case& c : cases) {
    std::string hash = hash_of(c);
    if (hash == expected[c.kernel]) continue;
    std::printf("%s: hash %s, not %s\n", c.kernel, hash.c_str(), expected[c.kernel].c_str());
    ++failures;
  }
  return report();
}
