// The small operations: loop entry, rotation and cache writes, the greedy choice, bookkeeping, errors.
#include <algorithm>

#include "tests/gpu/ops/harness.h"

namespace gpu {
namespace {

constexpr float kEps = 1e-5f;

void test_enter() {
  Group group("enter");
  struct Kind {
    cuda::Type type;
    int group, width;
  };
  for (const Kind& kind : {Kind{cuda::Type::int8, 0, 768}, Kind{cuda::Type::f32, 0, 32}, Kind{cuda::Type::bf16, 0, 5120}, Kind{cuda::Type::int4, 128, 1024}}) {
    const int vocab = 300, count = 5, depth = 3;
    const auto width = static_cast<std::size_t>(kind.width);
    const HostMatrix embedding = make_matrix(kind.type, vocab, kind.width, kind.group ? kind.group : kind.width, false, 7);
    const DeviceMatrix device = pack({&embedding});
    const std::vector<int> token = {0, 299, 17, 5, 5};
    const std::vector<int> loop = {1, 2, 3, 0, 6};
    const std::vector<float> state = random_floats(count * width, 3, 8), input_gain = random_floats(depth * width, 1, 9), state_gain = random_floats((depth - 1) * width, 1, 10);
    const Buffer<int> token_memory(token), loop_memory(loop);
    const Buffer<float> input_memory(input_gain), state_gain_memory(state_gain);
    cuda::Rows rows;
    rows.token = token_memory.data;
    rows.loop = loop_memory.data;
    for (const bool family : {false, true}) {
      Buffer<float> hidden(state);  // in and out at once
      api->enter(stream, hidden.data, hidden.data, device.matrix, family ? cuda::Gain{input_memory.data, kind.width, depth} : cuda::Gain{}, family ? cuda::Gain{state_gain_memory.data, kind.width, depth - 1} : cuda::Gain{}, rows, count, kind.width, kEps);
      const std::vector<float> got = hidden.get();
      std::vector<double> want(state.begin(), state.end());
      for (std::size_t row = 0; row < static_cast<std::size_t>(count); ++row) {
        const std::vector<float> e(embedding.values.begin() + token[row] * kind.width, embedding.values.begin() + (token[row] + 1) * kind.width);
        const std::vector<float> s(state.begin() + static_cast<std::ptrdiff_t>(row * width), state.begin() + static_cast<std::ptrdiff_t>((row + 1) * width));
        const std::vector<float> en = normed(e, {}, 1, kind.width, kEps), sn = normed(s, {}, 1, kind.width, kEps);
        const int trained = std::min(loop[row], depth);
        for (std::size_t i = 0; i < width && loop[row]; ++i) {
          double& out = want[row * width + i];
          if (!family) {
            if (loop[row] == 1) out = static_cast<double>(e[i]);
            continue;
          }
          out = static_cast<double>(en[i]) * static_cast<double>(input_gain[static_cast<std::size_t>(trained - 1) * width + i]);
          if (loop[row] > 1) out += static_cast<double>(sn[i]) * static_cast<double>(state_gain[static_cast<std::size_t>(trained - 2) * width + i]);
        }
      }
      group.check("width " + std::to_string(kind.width) + (family ? " loopd" : " plain"), relative_error(got, want), 2e-6);
    }
  }
}

void test_rope_write() {
  Group group("rope_write");
  for (const cuda::HeadShape& shape : {cuda::HeadShape{12, 4, 64}, cuda::HeadShape{40, 8, 128}, cuda::HeadShape{4, 2, 8}, cuda::HeadShape{6, 3, 96}}) {
    for (const bool extras : {false, true}) {
      for (const cuda::Type type : {cuda::Type::bf16, cuda::Type::fp8}) {
        const double theta = 1e5;
        const int dim = shape.head_dim, heads = shape.heads + 2 * shape.kv_heads, width = heads * dim;
        const std::vector<RowPlan> plan = {{0, 1, 0, 0}, {63, 2, 0, 0}, {64, 1, 3, 0}, {65, 0, 3, 0}, {500, 3, 3, 0}};
        const HostCache cache = make_cache(shape, type, 512, 6, 3);
        const std::vector<float> qkv = random_floats(plan.size() * static_cast<std::size_t>(width), 1.5f, 4), bias = random_floats(static_cast<std::size_t>(width), 1, 5),
                                 q_gain = random_floats(2 * static_cast<std::size_t>(dim), 1, 6), k_gain = random_floats(2 * static_cast<std::size_t>(dim), 1, 7);
        std::vector<int> position, loop, table;
        for (const RowPlan& row : plan) {
          position.push_back(row.position);
          loop.push_back(row.loop);
          table.push_back(row.table);
        }
        const Buffer<int> position_memory(position), loop_memory(loop), table_memory(table);
        cuda::Rows rows;
        rows.position = position_memory.data;
        rows.loop = loop_memory.data;
        rows.table = table_memory.data;
        rows.pages = cache.page_memory.data;
        rows.table_stride = cache.pages_a_table;
        const Buffer<float> qkv_memory(qkv), bias_memory(bias), q_memory(q_gain), k_memory(k_gain);
        Buffer<float> rotation(512 * static_cast<std::size_t>(dim));
        api->rope_table(stream, rotation.data, 512, dim, theta);
        api->rope_write(stream, qkv_memory.data, cache.view(), extras ? bias_memory.data : nullptr, extras ? cuda::Gain{q_memory.data, dim, 2} : cuda::Gain{}, extras ? cuda::Gain{k_memory.data, dim, 2} : cuda::Gain{},
                        rotation.data, rows, static_cast<int>(plan.size()), shape, kEps);
        const std::vector<float> got = qkv_memory.get();
        const std::vector<std::uint8_t> keys = cache.key_memory.get(), values = cache.value_memory.get();
        std::vector<float> seen_q, seen_kv;
        std::vector<double> want_q, want_kv;
        for (std::size_t row = 0; row < plan.size(); ++row) {
          if (plan[row].loop == 0) continue;
          for (int head = 0; head < heads; ++head) {
            const std::size_t start = row * static_cast<std::size_t>(width) + static_cast<std::size_t>(head * dim);
            std::vector<float> x(qkv.begin() + static_cast<std::ptrdiff_t>(start), qkv.begin() + static_cast<std::ptrdiff_t>(start) + dim);
            const bool is_value = head >= shape.heads + shape.kv_heads;
            if (extras) {
              for (int i = 0; i < dim; ++i) x[static_cast<std::size_t>(i)] += bias[static_cast<std::size_t>(head * dim + i)];
              if (!is_value) x = normed(x, gain_of(head < shape.heads ? q_gain : k_gain, 2, plan[row].loop), 1, dim, kEps);
            }
            std::vector<double> turned(x.begin(), x.end());
            for (int i = 0; i < dim / 2 && !is_value; ++i) {
              const double angle = plan[row].position * std::pow(theta, -2.0 * i / dim);
              const double a = static_cast<double>(x[static_cast<std::size_t>(i)]), b = static_cast<double>(x[static_cast<std::size_t>(i + dim / 2)]);
              turned[static_cast<std::size_t>(i)] = a * std::cos(angle) - b * std::sin(angle);
              turned[static_cast<std::size_t>(i + dim / 2)] = b * std::cos(angle) + a * std::sin(angle);
            }
            for (int i = 0; i < dim; ++i) {
              if (head < shape.heads) {
                seen_q.push_back(got[start + static_cast<std::size_t>(i)]);
                want_q.push_back(turned[static_cast<std::size_t>(i)]);
                continue;
              }
              const int kv_head = (head - shape.heads) % shape.kv_heads;
              const std::size_t at = cache.at(plan[row].table + plan[row].loop - 1, plan[row].position, kv_head) + static_cast<std::size_t>(i);
              const std::vector<std::uint8_t>& memory = is_value ? values : keys;
              std::uint16_t bits = 0;
              std::memcpy(&bits, memory.data() + 2 * at * (type == cuda::Type::bf16), 2);
              seen_kv.push_back(type == cuda::Type::bf16 ? from_bf16(bits) : from_fp8(memory[at]));
              want_kv.push_back(turned[static_cast<std::size_t>(i)]);
            }
          }
        }
        const std::string which = std::to_string(dim) + (extras ? " with bias and norm" : "");
        group.check("q " + which, relative_error(seen_q, want_q), 1e-5);
        group.check("kv " + which, relative_error(seen_kv, want_kv), type == cuda::Type::bf16 ? 4e-3 : 5e-2);
      }
    }
  }
}

void test_argmax() {
  Group group("argmax");
  for (const int vocab : {97, 16384, 76800}) {
    const int count = 3;
    std::vector<float> logits = random_floats(static_cast<std::size_t>(count * vocab), 3, 11);
    logits[static_cast<std::size_t>(vocab) + 40] = 50;  // row 1: a tie, the lower id wins
    logits[static_cast<std::size_t>(vocab) + 90] = 50;
    const std::size_t words = static_cast<std::size_t>((vocab + 31) / 32);
    std::vector<std::uint32_t> allowed(2 * words, 0);
    for (const int token : {3, 64, 95}) allowed[static_cast<std::size_t>(token / 32)] |= 1u << (token % 32);  // mask 1 allows nothing
    const Buffer<float> logits_memory(logits);
    const Buffer<std::uint32_t> allowed_memory(allowed);
    for (const std::vector<int>& mask : {std::vector<int>{-1, -1, -1}, std::vector<int>{0, -1, 1}}) {
      for (const int bias_token : {-1, 64}) {
        const float bias = 45;
        const Buffer<int> mask_memory(mask);
        Buffer<cuda::Choice> out(count);
        api->argmax(stream, out.data, logits_memory.data, count, vocab, allowed_memory.data, mask_memory.data, bias_token, bias);
        const std::vector<cuda::Choice> got = out.get();
        for (int row = 0; row < count; ++row) {
          const float* own = logits.data() + static_cast<std::size_t>(row) * static_cast<std::size_t>(vocab);
          int best = -1;
          float first = -INFINITY, second = -INFINITY;
          double total = 0;
          for (int i = 0; i < vocab; ++i) {
            total += std::exp(static_cast<double>(own[i]) - 50);
            if (mask[static_cast<std::size_t>(row)] >= 0 && !(allowed[static_cast<std::size_t>(mask[static_cast<std::size_t>(row)]) * words + static_cast<std::size_t>(i / 32)] >> (i % 32) & 1)) continue;
            const float logit = own[i] + (i == bias_token ? bias : 0);
            if (logit > first) {
              second = first;
              first = logit;
              best = i;
            } else if (logit > second) {
              second = logit;
            }
          }
          const cuda::Choice& choice = got[static_cast<std::size_t>(row)];
          const std::string which = "vocab " + std::to_string(vocab) + " row " + std::to_string(row);
          group.check(which + " token " + std::to_string(choice.token) + " not " + std::to_string(best), choice.token == best ? 0 : 1, 0);
          if (best < 0) continue;
          group.check(which + " second", choice.best == first && choice.second == second ? 0 : 1, 0);
          group.check(which + " logprob", std::fabs(static_cast<double>(choice.logprob) - (static_cast<double>(own[best]) - 50 - std::log(total))), 2e-5);
        }
      }
    }
  }
}

void test_steps() {
  Group group("bookkeeping");
  const Buffer<int> token(std::vector<int>{1, 2, 3}), position(std::vector<int>{10, 20, 30}), loop(std::vector<int>{9, 9, 9}), depth(std::vector<int>{1, 2, 3}), step(std::vector<int>{1});
  cuda::Rows rows;
  rows.token = token.data;
  rows.position = position.data;
  rows.loop = loop.data;
  rows.depth = depth.data;
  api->set_loop(stream, rows, 3, 2);
  group.check("set_loop", loop.get() == std::vector<int>{0, 2, 2} ? 0 : 1, 0);
  const Buffer<cuda::Choice> choices(std::vector<cuda::Choice>{{7, 0, 0, 0}, {8, 0, 0, 0}, {-1, 0, 0, 0}});
  Buffer<cuda::Choice> history(std::vector<cuda::Choice>(12));
  // As a graph, twice: each replay moves on by a step.
  if (!api->graph_begin(stream)) die("graph_begin");
  api->feed_back(stream, rows, choices.data, 3, history.data, 4, step.data);
  const cuda::Graph graph = api->graph_end(stream);
  if (!graph) die("graph_end");
  for (int i = 0; i < 2; ++i) api->graph_launch(graph, stream);
  const std::vector<cuda::Choice> kept = history.get();
  group.check("tokens", token.get() == std::vector<int>{7, 8, 0} ? 0 : 1, 0);
  group.check("positions", position.get() == std::vector<int>{12, 22, 32} ? 0 : 1, 0);
  group.check("history", step.get()[0] == 3 && kept[1].token == 7 && kept[2].token == 7 && kept[5].token == 8 && kept[10].token == -1 && kept[0].token == 0 ? 0 : 1, 0);
  api->graph_destroy(graph);

  const std::vector<float> hidden = random_floats(3 * 100, 1, 12);
  const Buffer<float> hidden_memory(hidden);
  Buffer<float> states(std::vector<float>(600, 5.0f));
  const Buffer<long long> slot(std::vector<long long>{4, -1, 2});
  api->scatter_states(stream, states.data, hidden_memory.data, slot.data, nullptr, 3, 100, nullptr, {});
  Buffer<float> back(std::vector<float>(300, 6.0f));
  api->gather_states(stream, back.data, states.data, slot.data, 3, 100);
  std::vector<float> want = hidden;
  std::fill(want.begin() + 100, want.begin() + 200, 6.0f);
  group.check("states", back.get() == want && states.get()[0] == 5.0f ? 0 : 1, 0);

  // Loops beyond the first carry a share of the state before on: row 0 in loop 3, row 1 in loop 1, row 2 in loop 2.
  const std::vector<float> carry = random_floats(2 * 100, 1, 13), held = random_floats(600, 1, 14);
  const Buffer<float> carry_memory(carry);
  const Buffer<int> loops(std::vector<int>{3, 1, 2});
  const Buffer<long long> to(std::vector<long long>{0, 1, 2}), before(std::vector<long long>{3, 4, 5});
  Buffer<float> carried(held);
  api->scatter_states(stream, carried.data, hidden_memory.data, to.data, loops.data, 3, 100, before.data, {carry_memory.data, 100, 2});
  std::vector<double> sums(held.begin(), held.end());
  for (std::size_t i = 0; i < 100; ++i) {
    sums[i] = static_cast<double>(hidden[i]) + static_cast<double>(carry[100 + i]) * static_cast<double>(held[300 + i]);
    sums[100 + i] = static_cast<double>(hidden[100 + i]);
    sums[200 + i] = static_cast<double>(hidden[200 + i]) + static_cast<double>(carry[i]) * static_cast<double>(held[500 + i]);
  }
  group.check("carried states", relative_error(carried.get(), sums), 1e-6);
}

// A failed operation must give one line and leave the device usable.
void test_errors() {
  Group group("errors");
  api->linear(stream, nullptr, nullptr, {}, api->layout(cuda::Type::bf16, 16, 64, 0, false), 17, 0, cuda::Epilogue::store, nullptr, {});
  group.check("too many rows", !api->sync(stream) && std::strstr(api->last_error(), "17 rows") ? 0 : 1, 0);
  api->clear_error();
  group.check("no memory", api->device_alloc(std::size_t{1} << 50) == nullptr && std::strstr(api->last_error(), "MiB are free") ? 0 : 1, 0);
  api->clear_error();
  group.check("usable after", api->usable() && api->sync(stream) ? 0 : 1, 0);
  group.check("no such device", !api->use_device(99) ? 0 : 1, 0);
  api->clear_error();
  group.check("still usable", api->use_device(0) && api->sync(stream) ? 0 : 1, 0);
}

}  // namespace

void test_small() {
  test_enter();
  test_rope_write();
  test_argmax();
  test_steps();
  test_errors();
}

}  // namespace gpu
