#include <cmath>
#include <cstring>

#include "eager/eager.h"

namespace fastnn::eager {
namespace {

int64_t width_of(const View& view) {
  int64_t width = 1;
  for (int i = 1; i < view.rank; ++i) width *= view.shape[i];
  return width;
}

bool rows_are_contiguous(const View& view) {
  View row{view.data, view.dtype, view.rank - 1, {}, {}};
  std::copy_n(view.shape + 1, row.rank, row.shape);
  std::copy_n(view.strides + 1, row.rank, row.strides);
  return is_contiguous(row);
}

void require_rows_axis(const Call& call, const Argument& x) {
  if (x.view.rank == 0) raise<ValueError>(call.op, x.name, " must have at least 1 dimension");
}

void require_equal_counts(const Call& call, const Integers& rows, const Integers& columns) {
  if (rows.count != columns.count)
    raise<ValueError>(call.op, rows.name, " has ", rows.count, " indices but ", columns.name, " has ", columns.count);
}

}  // namespace

void gather(const Call& call, Argument data, const Integers& indices, double divisor, std::optional<DType> dtype,
            Output& output) {
  require_rows_axis(call, data);
  DType from = data.view.dtype;
  bool divided = divisor != 1;
  bool is_byte = from == DType::uint8, is_half = from == DType::float16;
  DType to = dtype ? *dtype : (is_byte && divided) || is_half ? DType::float32 : from;
  if (to != from && !((is_byte || is_half) && is_floating(to)))
    raise<TypeError>(call.op, "data is ", name_of(from), "; it cannot be gathered as ", name_of(to),
                     " (only uint8 and float16 become float32 or float64)");
  if (divided && !is_floating(to))
    raise<TypeError>(call.op, "divisor = ", divisor, " needs a floating-point result, not ", name_of(to));
  require_finite(call, "divisor", divisor, to);
  if (divisor == 0 || (to == DType::float32 && static_cast<float>(divisor) == 0))
    raise<ValueError>(call.op, "divisor = ", divisor, " must not be 0 in ", name_of(to));
  Buffer index_memory, memory;
  const int64_t* index = read_indices(call, indices, data.view.shape[0], index_memory);
  int64_t shape[max_rank];
  std::copy_n(data.view.shape, data.view.rank, shape);
  shape[0] = indices.count;
  View out = output.place(call, to, data.view.rank, shape);
  require_contiguous(call, {out, "out"});
  require_apart(call, out, {&data});
  if (count_of(out) == 0) return;
  // Rows may be apart, as those of a slice of columns are; only rows with gaps of their own are copied first.
  View source = rows_are_contiguous(data.view) ? data.view : made_contiguous(call, data.view, memory);
  Gather arguments{
      from,    to,      width_of(data.view), indices.count, source.data, source.shape[0], source.strides[0], index,
      divisor, out.data};
  execute(call, kernels().gather, arguments);
}

void scatter_add(const Call& call, Argument grad, const Integers& indices, int64_t num_rows, Output& output) {
  require_rows_axis(call, grad);
  require_dtype(call, grad, {DType::float32, DType::float64});
  if (num_rows < 0) raise<ValueError>(call.op, "num_rows = ", num_rows, " must be at least 0");
  if (grad.view.shape[0] != indices.count)
    raise<ValueError>(call.op, "grad has ", grad.view.shape[0], " rows but there are ", indices.count, " indices");
  Buffer index_memory, memory;
  const int64_t* index = read_indices(call, indices, num_rows, index_memory);
  int64_t shape[max_rank];
  std::copy_n(grad.view.shape, grad.view.rank, shape);
  shape[0] = num_rows;
  View out = output.place(call, grad.view.dtype, grad.view.rank, shape);
  require_contiguous(call, {out, "out"});
  require_apart(call, out, {&grad});
  ScatterAdd arguments{
      grad.view.dtype, num_rows, width_of(grad.view), indices.count, made_contiguous(call, grad.view, memory).data,
      index,           out.data};
  execute(call, kernels().scatter_add, arguments);
}

void pick(const Call& call, Argument x, const Integers& rows, const Integers& columns, Output& output) {
  require_rank(call, x, 2);
  require_equal_counts(call, rows, columns);
  Buffer row_memory, column_memory;
  const int64_t* row = read_indices(call, rows, x.view.shape[0], row_memory);
  const int64_t* column = read_indices(call, columns, x.view.shape[1], column_memory, "columns");
  View out = output.place(call, x.view.dtype, 1, &rows.count);
  require_contiguous(call, {out, "out"});
  require_apart(call, out, {&x});
  Pick arguments{x.view.dtype, x.view.shape[0], x.view.shape[1], rows.count,        row,
                 column,       x.view.data,     out.data,        x.view.strides[0], x.view.strides[1]};
  execute(call, kernels().pick, arguments);
}

void pick_backward(const Call& call, Argument grad, const Integers& rows, const Integers& columns, int64_t num_rows,
                   int64_t num_columns, Output& output) {
  require_rank(call, grad, 1);
  require_dtype(call, grad, {DType::float32, DType::float64});
  require_equal_counts(call, rows, columns);
  if (grad.view.shape[0] != rows.count)
    raise<ValueError>(call.op, "grad has ", grad.view.shape[0], " elements but there are ", rows.count, " indices");
  checked_multiply(call.op, num_rows, num_columns);
  Buffer row_memory, column_memory, memory;
  const int64_t* row = read_indices(call, rows, num_rows, row_memory);
  const int64_t* column = read_indices(call, columns, num_columns, column_memory, "columns");
  int64_t shape[] = {num_rows, num_columns};
  View out = output.place(call, grad.view.dtype, 2, shape);
  require_contiguous(call, {out, "out"});
  require_apart(call, out, {&grad});
  Pick arguments{grad.view.dtype,
                 num_rows,
                 num_columns,
                 rows.count,
                 row,
                 column,
                 made_contiguous(call, grad.view, memory).data,
                 out.data,
                 num_columns,
                 1};
  execute(call, kernels().pick_backward, arguments);
}

void one_hot(const Call& call, const Integers& labels, int64_t num_classes, DType dtype, Output& output) {
  if (num_classes < 1) raise<ValueError>(call.op, "num_classes = ", num_classes, " must be at least 1");
  if (!is_floating(dtype) && dtype != DType::int64)
    raise<TypeError>(call.op, "dtype = ", name_of(dtype), " must be float32, float64 or int64");
  Buffer memory;
  const int64_t* label = read_labels(call, labels, num_classes, nullptr, memory);
  int64_t shape[] = {labels.count, num_classes};
  View out = output.place(call, dtype, 2, shape);
  require_contiguous(call, {out, "out"});
  OneHot arguments{dtype, labels.count, num_classes, label, out.data};
  execute(call, kernels().one_hot, arguments);
}

}  // namespace fastnn::eager
