// `loopd bench decode --speculation`: tokens a second with guessed tokens and without, where text repeats and where not,
// and by syntax class in recorded typing.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "lsp/commands/bench_typing.h"
#include "lsp/commands/commands.h"
#include "lsp/commands/open_model.h"
#include "lsp/json_rpc.h"

namespace lsp {
namespace {

struct Sample {
  const char* kind;  // "repeating": what follows stands in the buffer already, but for a name
  const char* path;
  std::string prefix;
};

constexpr const char* kPoints = R"(class Point:
    def __init__(self, x, y, label=None):
        self.x = x
        self.y = y
        self.label = label

    def moved(self, dx, dy):
        return Point(self.x + dx, self.y + dy, self.label)

    def scaled(self, factor):
        return Point(self.x * factor, self.y * factor, self.label)

    def to_json(self):
        return {"x": self.x, "y": self.y, "label": self.label}


)";

constexpr const char* kHandlers = R"(void handle_open(const Request& request, Reply& reply) {
  const auto document = documents.find(request.uri);
  if (document == documents.end()) {
    reply.error("unknown document: " + request.uri);
    return;
  }
  document->second.open(request.text, request.version);
  reply.result(document->second.state());
}

)";

constexpr const char* kRoutes = R"(app.get("/users", async (request, response) => {
  const page = Number(request.query.page || 1);
  const users = await database.query("SELECT * FROM users LIMIT 20 OFFSET $1", [(page - 1) * 20]);
  response.json({ items: users.rows, page });
});

)";

std::vector<Sample> samples() {
  const std::string points = kPoints, handlers = kHandlers, routes = kRoutes;
  return {
      {"repeating", "points.py", points + points + points.substr(0, points.find("    def moved"))},
      {"repeating", "handlers.cpp", handlers + handlers + handlers.substr(0, handlers.find("  if (document"))},
      {"repeating", "routes.js", routes + routes + routes.substr(0, routes.find("  const users"))},
      {"repeating", "tests.py", points + "def test_point():\n    point = Point(1, 2)\n    assert point.to_json() == {\"x\": 1, \"y\": 2, \"label\": None}\n\n\n" + points.substr(0, points.find("        self.x = x"))},
      {"other", "search.py", "def binary_search(values, wanted):\n    low = 0\n    high = len(values) - 1\n"},
      {"other", "read.cpp", "#include <fstream>\n#include <string>\n\nstd::string read_file(const std::string& path) {\n"},
      {"other", "debounce.js", "export function debounce(callback, delay) {\n  let timer = null;\n"},
      {"other", "words.go", "package main\n\nimport \"strings\"\n\nfunc countWords(text string) map[string]int {\n"},
  };
}

struct Figures {
  std::size_t tokens = 0, drafted = 0, accepted = 0;
  double plain_ms = 0, speculative_ms = 0;
};

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

// Adds the medians of some rounds, with and without guesses in turns, each in a session that knows the prompt only.
void measure(const std::shared_ptr<const inference::Engine>& engine, const Sample& sample, int depth, Figures& figures) {
  inference::FimPrompt prompt;
  prompt.path = sample.path;
  prompt.prefix = sample.prefix;
  prompt.suffix = "\n";
  const auto encoded = engine->encode_fim(prompt);
  std::vector<double> plain, speculative;
  std::vector<inference::TokenId> want;
  for (int round = 0; round < 5; ++round) {
    for (const bool speculate : {false, true}) {
      inference::Session session(engine);
      inference::GenerateParams params;
      params.depth = depth;
      params.max_tokens = 64;
      params.forced = encoded.forced;
      params.speculate = speculate;
      const auto result = session.generate(encoded.tokens, params);
      if (want.empty()) want = result.tokens;
      if (result.tokens != want) throw std::runtime_error(std::string(sample.path) + ": guessed tokens changed what is generated");
      (speculate ? speculative : plain).push_back(result.timings.decode_ms);
      if (round > 0 || !speculate) continue;
      figures.tokens += result.tokens.size();
      figures.drafted += result.timings.drafted_tokens;
      figures.accepted += result.timings.accepted_tokens;
    }
  }
  figures.plain_ms += median(plain);
  figures.speculative_ms += median(speculative);
}

void print(const Json& row) {
  const std::string depth = row.at("depth").is_string() ? row.at("depth").get<std::string>() : std::to_string(row.at("depth").get<int>());
  std::printf("%-10s %6s %7zu %8zu %6zu %15.0f %13.0f %6.2f\n", row.at("text").get<std::string>().c_str(), depth.c_str(),
              row.at("tokens").get<std::size_t>(), row.at("drafted").get<std::size_t>(), row.at("accepted").get<std::size_t>(),
              row.at("plain_tokens_per_s").get<double>(), row.at("tokens_per_s").get<double>(), row.at("ratio").get<double>());
  std::fflush(stdout);
}

}  // namespace

int bench_speculation(const Options& options, const Settings& settings) {
  const auto engine = inference::Engine::load(engine_options(options, settings));
  std::vector<int> depths = options.depths;
  if (depths.empty()) depths = {1, 2};
  Json rows = Json::array();
  if (!options.json) std::puts("text        depth  tokens  guessed  right  tokens/s plain  with guesses  ratio");
  for (const std::string kind : {"repeating", "other"}) {
    for (const int depth : depths) {
      Figures figures;
      for (const Sample& sample : samples()) {
        if (sample.kind == kind) measure(engine, sample, depth, figures);
      }
      const double plain = 1e3 * static_cast<double>(figures.tokens) / figures.plain_ms;
      const double speculative = 1e3 * static_cast<double>(figures.tokens) / figures.speculative_ms;
      rows.push_back({{"bench", "speculation"}, {"text", kind}, {"depth", depth}, {"tokens", figures.tokens}, {"drafted", figures.drafted},
                      {"accepted", figures.accepted}, {"plain_tokens_per_s", plain}, {"tokens_per_s", speculative}, {"ratio", speculative / plain},
                      {"device", engine->info().device}, {"threads", engine->info().threads}});
      if (!options.json) print(rows.back());
    }
  }
  std::vector<std::optional<int>> typed(options.depths.begin(), options.depths.end());
  if (typed.empty()) typed = {std::nullopt};  // the policy's
  for (const auto& depth : typed) {
    for (Json& row : bench_typing(engine, depth, options.limit, settings)) {
      if (!options.json) print(row);
      rows.push_back(std::move(row));
    }
  }
  if (options.json) std::puts(to_text(rows).c_str());
  return 0;
}

}  // namespace lsp
