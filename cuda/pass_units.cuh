// Who attends to what within a loop's one kernel: the context of every row cut into units, the same for all layers.
//
// How a row's context is cut depends on its position only, so that its numbers do not depend on the rows beside.
#pragma once

#include "cuda/pass_block.cuh"

namespace cuda {

#if __CUDA_ARCH__ >= 900

// What the kernel knows of its rows before the first layer.
struct RowState {
  int loop[kMaxPassRows], position[kMaxPassRows], table[kMaxPassRows], first[kMaxPassRows];
  int page[kMaxPassRows];    // where the row's new keys go
  bool leads[kMaxPassRows];  // whether it is the first of those that share its visits
  int idle_part;             // see idle_part()
};

// Rows of one session and loop may share their visits to the context while they stand in the same page: it is cut in the same
// way for all of them. Their windows must overlap, or there are keys between them that nobody may have written.
__device__ __forceinline__ bool share_visits(const PassArguments& p, const RowState& rows, int a, int b) {
  const int loop = rows.loop[a];
  return loop > 0 && loop == rows.loop[b] && rows.table[a] == rows.table[b] && rows.first[a] == rows.first[b] && rows.position[a] / kPage == rows.position[b] / kPage &&
         (loop == 1 || p.window >= kPage);
}

// Of rows that may share their visits every p.visit_rows do, in their order.
__device__ __forceinline__ bool leads_visit(const PassArguments& p, const RowState& rows, int row) {
  int before = 0;
#pragma unroll 1
  for (int i = 0; i < row; ++i) before += share_visits(p, rows, i, row);
  return rows.loop[row] > 0 && before % p.visit_rows == 0;
}

// How the context of a row is cut: `busy` parts of KV1, of `each` pages, and one more of the window for loops >= 2.
struct Cut {
  int each, busy, parts;
};
__device__ __forceinline__ Cut cut_of(const PassArguments& p, const RowState& rows, int row) {
  const int pages = rows.position[row] / kPage + 1;
  const int each = (pages + p.splits - 1) / p.splits;
  const int busy = (pages + each - 1) / each;
  return {each, busy, busy + (rows.loop[row] >= 2 ? 1 : 0)};
}

// With marks all parts are written in every layer, or what is left of a longer context could pass for new. This is the one
// that the block writes although nobody reads it, into [kv head][part]; -1: none.
__device__ __forceinline__ int idle_part(const PassArguments& p, const RowState& rows, int member) {
  const int loop = rows.loop[0];
  const int number = member / p.shape.kv_heads;
  if (!p.marked || loop == 0 || number > p.splits) return -1;
  const Cut cut = cut_of(p, rows, 0);
  if (number < cut.parts && cut.parts > 1) return -1;
  return (member - number * p.shape.kv_heads) * (p.splits + 1) + number - (loop >= 2 ? 1 : 0);
}

// The unit of that number over all rows. False: there are fewer.
__device__ __forceinline__ bool find_unit(Unit& unit, const PassArguments& p, const RowState& rows, int number) {
#pragma unroll 1
  for (int row = 0; row < p.count; ++row) {
    if (!rows.leads[row]) continue;
    const int loop = rows.loop[row];
    const auto [each, busy, parts] = cut_of(p, rows, row);
    if (number >= parts * p.shape.kv_heads) {
      number -= parts * p.shape.kv_heads;
      continue;
    }
    const int part = number / p.shape.kv_heads;
    const bool local = part == busy;
    unit.kv_head = number - part * p.shape.kv_heads;
    unit.part = local ? p.splits : part;
    unit.all_parts = parts;
    int count = 0;
    unsigned bits = 0;
    Span all{0, 0};
#pragma unroll 1
    for (int other = row; other < p.count && count < p.visit_rows; ++other) {
      if (other != row && !share_visits(p, rows, row, other)) continue;
      const int end = rows.position[other] + 1;
      const Span span = local ? Span{max(max(0, end - p.window), rows.first[other]), end} : Span{part * each * kPage, min(end, (part + 1) * each * kPage)};
      all = count == 0 ? span : Span{min(all.begin, span.begin), max(all.end, span.end)};
      unit.row[count] = static_cast<unsigned char>(other);
      unit.span[count++] = span;
      bits |= 1u << other;
    }
    unit.row_bits = bits, unit.all = all;
    unit.first_page = all.begin / kPage;
    unit.pages = (all.end - 1) / kPage + 1 - unit.first_page;
    unit.group = p.shape.heads / p.shape.kv_heads;
    unit.inverse = (65535u + static_cast<unsigned>(unit.group)) / static_cast<unsigned>(unit.group);
    unit.columns = count * unit.group;
    unit.table = p.rows.pages + static_cast<std::size_t>(rows.table[row] + (local ? loop : 1) - 1) * static_cast<std::size_t>(p.rows.table_stride);
    return true;
  }
  return false;
}

// Two trips to memory: the rows' numbers, then what these point to.
template <int D>
__device__ __forceinline__ int fill_units(Unit* units, RowState& rows, float2* turns, const PassArguments& p, int member, int tid) {
  const Rows& from = p.rows;
  if (tid < p.count) {
    rows.loop[tid] = from.loop[tid];
    rows.position[tid] = from.position[tid];
    rows.table[tid] = from.table[tid];
    rows.first[tid] = from.first ? from.first[tid] : 0;
  }
  __syncthreads();
  if (tid < p.count) rows.leads[tid] = leads_visit(p, rows, tid);
  if (tid == 0) rows.idle_part = idle_part(p, rows, member);
  __syncthreads();
  const bool there = tid < kMaxUnits && find_unit(units[tid], p, rows, member + tid * p.members);
  const int count = __syncthreads_count(there);
  static_assert(kMaxUnits * kUnitPages + 32 <= kPassThreads);
  const int i = tid % kUnitPages;
  if (tid < count * kUnitPages) {
    Unit& unit = units[tid / kUnitPages];
    if (i < unit.pages) unit.page[i] = unit.table[unit.first_page + i];
  } else if (tid >= kMaxUnits * kUnitPages && tid - kMaxUnits * kUnitPages < p.count) {
    const int row = tid - kMaxUnits * kUnitPages;
    const int table = rows.table[row] + rows.loop[row] - 1;
    rows.page[row] = rows.loop[row] > 0 ? from.pages[static_cast<std::size_t>(table) * static_cast<std::size_t>(from.table_stride) + static_cast<std::size_t>(rows.position[row] / kPage)] : -1;
  }
#pragma unroll 1
  for (int at = tid; at < p.count * (D / 2); at += kPassThreads) turns[at] = p.rope[static_cast<std::size_t>(rows.position[at / (D / 2)]) * (D / 2) + at % (D / 2)];
  __syncthreads();
  if (tid < count) {
    Unit& unit = units[tid];
    unit.fresh_count = 0;
#pragma unroll 1
    for (int row = 0; row < p.count; ++row) {
      const int position = rows.position[row];
      if (rows.loop[row] == 0 || position < unit.all.begin || position >= unit.all.end) continue;
      if (unit.page_at(position / kPage - unit.first_page) == rows.page[row]) unit.fresh[unit.fresh_count++] = static_cast<unsigned char>(row);
    }
  }
  __syncthreads();
  return count;
}

#endif

}  // namespace cuda
