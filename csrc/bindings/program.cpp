// Slots, programs, and the recording that fills them.
#include <atomic>

#include "bindings/convert.h"

namespace fastnn::bindings {
namespace {

class PyProgram;

// The program that this thread's calls of kernels are added to.
thread_local PyProgram* current = nullptr;

// A Python function in a program: called in every step, with the GIL.
class FunctionNode final : public engine::Node {
 public:
  explicit FunctionNode(py::object function) : function_(std::move(function)) {}
  ~FunctionNode() override {
    py::gil_scoped_acquire acquire;
    function_ = py::object();
  }
  Work work() const override { return {1, {1}, {0}, 0, 0}; }
  void run(int, int64_t, int64_t, std::byte*, std::byte*) const override {
    py::gil_scoped_acquire acquire;
    function_();
  }

 private:
  py::object function_;
};

class PyProgram {
 public:
  explicit PyProgram(const std::vector<Array>& outputs) : program_(views(outputs)) {}

  // Calls `function`, whose kernels are added instead of run.
  void record(const py::function& function) {
    if (current) raise<ValueError>("Program", "a program is being recorded already");
    Use use(*this);
    current = this;
    struct Reset {
      ~Reset() { current = nullptr; }
    } reset;
    function();
  }

  void call(py::function function) {
    Use use(*this);
    program_.add(std::make_unique<FunctionNode>(std::move(function)));
  }

  py::array run(int64_t count, const OptionalArray& rows, const OptionalArray& rows_to, const std::vector<Slot*>& slots,
                const OptionalArray& values) {
    PlacedCall call = make_call("Program", std::nullopt);
    engine::Steps steps;
    if (count < 0) raise<ValueError>(call.op, "count = ", count, " must be at least 0");
    steps.count = count;
    if (rows.has_value() != rows_to.has_value()) raise<ValueError>(call.op, "rows and rows_to need each other");
    if (rows_to) {
      View to = writable(call, "rows_to", *rows_to).view;
      View from = argument(call, "rows", *rows).view;
      if (from.dtype != DType::int64 || to.dtype != DType::int64 || !is_contiguous(from) || !is_contiguous(to) ||
          count_of(from) != checked_multiply(call.op, count, count_of(to)))
        raise<ValueError>(call.op, "rows must be contiguous int64, ", count, " times rows_to");
      steps.rows = reinterpret_cast<const int64_t*>(from.data);
      steps.rows_to = reinterpret_cast<int64_t*>(to.data);
      steps.rows_each = count_of(to);
    }
    for (Slot* slot : slots) {  // none is null: `exact` below lets no None through
      steps.slots.push_back(&slot->value);
    }
    if (values) {
      View from = argument(call, "values", *values).view;
      if (from.dtype != DType::float64 || !is_contiguous(from) ||
          count_of(from) != checked_multiply(call.op, count, static_cast<int64_t>(slots.size())))
        raise<ValueError>(call.op, "values must be contiguous float64, one for each step and slot");
      steps.values = reinterpret_cast<const double*>(from.data);
    } else if (!slots.empty()) {
      raise<ValueError>(call.op, "slots need values");
    }
    int64_t shape[] = {count, outputs_};
    py::array results = empty(call, DType::float64, 2, shape);
    steps.results = static_cast<double*>(results.mutable_data());
    Use use(*this);
    int threads = num_threads();
    py::gil_scoped_release release;
    program_.run(steps, threads);
    return results;
  }

  int64_t nodes() const { return program_.nodes(); }
  void keep(const py::object& array) { kept_.push_back(array); }
  engine::Program& native() { return program_; }

 private:
  // One at a time: a run has no GIL and reads what `record` and `call` add to; and functions come back to Python.
  class Use {
   public:
    explicit Use(PyProgram& program) : busy_(program.busy_) {
      if (busy_.exchange(true)) raise<ValueError>("Program", "this program is running or being recorded already");
    }
    ~Use() { busy_ = false; }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;

   private:
    std::atomic<bool>& busy_;
  };

  std::vector<View> views(const std::vector<Array>& outputs) {
    Call call = make_call("Program", std::nullopt);
    std::vector<View> views;
    for (const Array& output : outputs) {
      View view = anywhere(call, "outputs", output).view;
      if (count_of(view) != 1) raise<ValueError>(call.op, "outputs must have one element each");
      views.push_back(view);
      kept_.push_back(output.object);
    }
    outputs_ = static_cast<int64_t>(views.size());
    return views;
  }

  int64_t outputs_ = 0;
  std::vector<py::object> kept_;
  engine::Program program_;
  std::atomic<bool> busy_{false};
};

constexpr const char* slot_documentation =
    R"(A scalar that varies from step to step: kernels read its `value` when they run, records keep the Slot.

>>> lr = Slot(0.1)
>>> lr.value = 0.05
>>> lr, float(lr)
(Slot(0.05), 0.05)
)";

}  // namespace

engine::Program* recording() { return current ? &current->native() : nullptr; }

void keep_for_recording(const py::object& array) { current->keep(array); }

void bind_program(py::module_& m) {
  py::class_<Slot>(m, "Slot", slot_documentation)
      .def(py::init<double>(), py::arg("value"))
      .def_readwrite("value", &Slot::value)
      .def("__float__", [](const Slot& slot) { return slot.value; })
      .def("__repr__", [](const Slot& slot) { return "Slot(" + std::string(py::repr(py::float_(slot.value))) + ")"; });

  py::class_<PyProgram>(m, "Program", "Calls of kernels, kept to be run again and again without Python.")
      .def(py::init<const std::vector<Array>&>(), exact("outputs"),
           "`outputs` are arrays of one element each, read after every step.")
      .def("record", &PyProgram::record, py::arg("function"),
           "Calls `function` now; the kernels it calls are added instead of run, and their arrays kept. Slots stay the "
           "caller's to keep.")
      .def("call", &PyProgram::call, py::arg("function"), "Adds a Python function, called without arguments.")
      .def("run", &PyProgram::run, exact("count"), py::arg("rows") = py::none(), py::arg("rows_to") = py::none(),
           exact("slots") = std::vector<Slot*>(), py::arg("values") = py::none(),
           "Runs `count` steps. Before each, a slice of `rows` is copied to `rows_to`, and `slots` are set from a row "
           "of `values`. Returns the outputs, (count, outputs) float64.")
      .def("__len__", &PyProgram::nodes, "The number of kernels and functions.");
}

}  // namespace fastnn::bindings
