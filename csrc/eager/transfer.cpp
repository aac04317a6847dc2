#include "eager/eager.h"

namespace fastnn::eager {
namespace {

// Bytes on their way between the CPU and a device.
struct Transfer {
  const DeviceBackend* device;
  void* to;
  const void* from;
  int64_t bytes;

  void run() const { device->copy(to, from, bytes); }
};

class TransferNode final : public engine::Node {
 public:
  explicit TransferNode(const Transfer& transfer) : transfer_(transfer) {}
  Work work() const override { return {1, {1}, {0}, 0, 0}; }
  void run(int, int64_t, int64_t, std::byte*, std::byte*) const override { transfer_.run(); }

 private:
  Transfer transfer_;
};

}  // namespace

void transfer(const Call& call, Argument x, Output& output) {
  View out = output.place(call, x.view.dtype, x.view.rank, x.view.shape);
  require_apart(call, out, {&x});
  if (count_of(out) == 0) return;
  Call source_call = call;
  source_call.device = is_on_device(x.view.data) ? device() : nullptr;
  if (source_call.device == call.device) return copy(call, x.view, out);
  // Strides are seen to where they are: what travels has no gaps.
  Buffer source_memory, memory;
  View source = made_contiguous(source_call, x.view, source_memory);
  int64_t bytes = count_of(out) * item_size(out.dtype);
  View whole = out;
  if (!is_contiguous(out)) whole = contiguous_view(take(call, bytes, memory), out.dtype, out.rank, out.shape);
  Transfer transfer{device(), whole.data, source.data, bytes};
  if (call.program) call.program->add(std::make_unique<TransferNode>(transfer));
  else if (call.around) call.around([](void* context) { static_cast<Transfer*>(context)->run(); }, &transfer);
  else transfer.run();
  if (whole.data != out.data) copy(call, whole, out);
}

}  // namespace fastnn::eager
