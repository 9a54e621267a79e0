// One table of flags: name, which commands take it, and where its value goes.
#include "lsp/cli.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <optional>
#include <utility>

namespace lsp {
namespace {

long long whole_number(const std::string& flag, const std::string& text, long long least, long long most) {
  long long value = 0;
  bool valid = !text.empty() && text.size() <= 15;
  for (const char c : text) {
    valid = valid && c >= '0' && c <= '9';
    if (valid) value = value * 10 + (c - '0');
  }
  if (!valid || value < least || value > most) {
    throw UsageError(flag + " needs a whole number from " + std::to_string(least) + " to " + std::to_string(most) +
                     ", not \"" + text + "\"");
  }
  return value;
}

int integer(const std::string& flag, const std::string& text, int least, int most) {
  return static_cast<int>(whole_number(flag, text, least, most));
}

// A part of one, in decimals.
float share(const std::string& flag, const std::string& text) {
  std::size_t read = 0;
  float value = -1;
  try {
    value = std::stof(text, &read);
  } catch (const std::exception&) {
    read = std::string::npos;
  }
  if (read != text.size() || !(value >= 0 && value <= 1)) throw UsageError(flag + " needs a number from 0 to 1, not \"" + text + "\"");
  return value;
}

std::vector<int> integers(const std::string& flag, const std::string& text, int least, int most) {
  std::vector<int> values;
  std::size_t start = 0;
  while (true) {
    const std::size_t comma = text.find(',', start);
    values.push_back(integer(flag, text.substr(start, comma == std::string::npos ? comma : comma - start), least, most));
    if (comma == std::string::npos) return values;
    start = comma + 1;
  }
}

struct Flag {
  const char* name;
  const char* commands;  // blank-separated; empty: all
  bool takes_value;
  std::function<void(Options&, const std::string&)> set;
};

constexpr int largest = std::numeric_limits<int>::max();

const std::vector<Flag>& flags() {
  using Text = const std::string&;
  static const std::vector<Flag> table = {
      {"--model", "", true, [](Options& o, Text v) { o.model = v; }},
      {"--device", "", true,
       [](Options& o, Text v) {
         if (v != "auto" && v != "cpu" && v != "cuda") throw UsageError("--device is auto, cpu or cuda, not \"" + v + "\"");
         o.device = v;
       }},
      {"--config", "", true, [](Options& o, Text v) { o.config = v; }},
      {"--log", "", true, [](Options& o, Text v) { o.log = v; }},
      {"--threads", "", true, [](Options& o, Text v) { o.threads = integer("--threads", v, 1, 1024); }},
      {"--json", "", false, [](Options& o, Text) { o.json = true; }},
      {"--reference", "", false, [](Options& o, Text) { o.reference = true; }},
      {"--stdio", "serve", false, [](Options&, Text) {}},
      {"--pipe", "serve", true, [](Options& o, Text v) { o.pipe = v; }},
      {"--socket", "serve", true, [](Options& o, Text v) { o.socket = integer("--socket", v, 1, 65535); }},
      {"--port", "serve", true, [](Options& o, Text v) { o.socket = integer("--port", v, 1, 65535); }},
      {"--clientProcessId", "serve", true,
       [](Options& o, Text v) { o.client_process = whole_number("--clientProcessId", v, 1, 1LL << 40); }},
      {"--standalone", "serve bench", false, [](Options& o, Text) { o.standalone = true; }},
      {"--idle", "serve host", true, [](Options& o, Text v) { o.idle = integer("--idle", v, 1, 1'000'000); }},
      {"--depth", "complete generate logits eval module", true, [](Options& o, Text v) { o.depth = integer("--depth", v, 1, 64); }},
      {"--explain", "complete", false, [](Options& o, Text) { o.explain = true; }},
      {"--ids", "logits", true, [](Options& o, Text v) { o.ids = integers("--ids", v, 0, largest); }},
      {"--all", "logits", false, [](Options& o, Text) { o.all = true; }},
      {"--depths", "eval bench", true, [](Options& o, Text v) { o.depths = integers("--depths", v, 1, 64); }},
      {"--synthetic", "bench", true, [](Options& o, Text v) { o.synthetic = v; }},
      {"--batch", "bench", true, [](Options& o, Text v) { o.batches = integers("--batch", v, 1, 16); }},
      {"--context", "bench", true, [](Options& o, Text v) { o.contexts = integers("--context", v, 0, 1 << 20); }},
      {"--clients", "bench", true, [](Options& o, Text v) { o.clients = integer("--clients", v, 1, 64); }},
      {"--debounce", "bench", true, [](Options& o, Text v) { o.debounce_ms = integer("--debounce", v, 0, 10'000); }},
      {"--limit", "eval bench", true, [](Options& o, Text v) { o.limit = integer("--limit", v, 1, largest); }},
      {"--max-tokens", "complete eval module", true, [](Options& o, Text v) { o.max_tokens = integer("--max-tokens", v, 1, 4096); }},
      {"--shown", "eval", false, [](Options& o, Text) { o.shown = true; }},
      {"--language", "module", true, [](Options& o, Text v) { o.language = v; }},
      {"--about", "module", true, [](Options& o, Text v) { o.about = v; }},
      {"--yes", "module", false, [](Options& o, Text) { o.yes = true; }},
      {"--speculation", "bench", false, [](Options& o, Text) { o.speculation = true; }},
      {"--adaptive", "eval", true, [](Options& o, Text v) { o.adaptive = share("--adaptive", v); }},
      {"--search", "eval", true, [](Options& o, Text v) { o.search = integer("--search", v, 0, 4096); }},
      {"--compare-revise", "eval", false, [](Options& o, Text) { o.compare_revise = true; }},
      {"--no-revise", "eval", false, [](Options& o, Text) { o.no_revise = true; }},
      {"--cases", "eval", false, [](Options& o, Text) { o.cases = true; }},
      {"--print-prompts", "eval", false, [](Options& o, Text) { o.print_prompts = true; }},
  };
  return table;
}

// Commands and how many arguments each takes.
struct Command {
  const char* name;
  std::size_t arguments;
  const char* missing;
};
constexpr Command commands[] = {
    {"serve", 0, ""},
    {"host", 0, ""},
    {"complete", 1, "complete needs a place: loopd complete FILE:LINE:COLUMN"},
    {"generate", 0, ""},
    {"module", 1, "module needs a folder: loopd module DIR"},
    {"logits", 0, ""},
    {"tokenize", 0, ""},
    {"detokenize", 0, ""},
    {"doctor", 0, ""},
    {"eval", 2, "eval needs a kind and a file: loopd eval infill FILE.jsonl"},
    {"bench", 1, "bench needs a kind: loopd bench decode, prefill or keystrokes"},
    {"help", 0, ""},
    {"version", 0, ""},
};

const Command& command_named(const std::string& name) {
  for (const Command& command : commands) {
    if (name == command.name) return command;
  }
  throw UsageError("there is no command \"" + name + "\"; see loopd --help");
}

const Flag* flag_named(const std::string& name) {
  const auto found = std::find_if(flags().begin(), flags().end(), [&](const Flag& one) { return name == one.name; });
  return found == flags().end() ? nullptr : &*found;
}

bool taken_by(const Flag& flag, const std::string& command) {
  const std::string all = std::string(" ") + flag.commands + " ";
  return *flag.commands == '\0' || all.find(" " + command + " ") != std::string::npos;
}

}  // namespace

Options parse_arguments(const std::vector<std::string>& arguments) {
  Options options;
  // Flags may stand on either side of the command, so they are judged once it is known: the first plain argument.
  std::vector<std::pair<std::string, std::optional<std::string>>> given;
  std::vector<std::string> plain;
  for (std::size_t at = 0; at < arguments.size(); ++at) {
    const std::string& argument = arguments[at];
    if (argument == "--help" || argument == "-h") return Options{.command = "help", .arguments = {}};
    if (argument == "--version") return Options{.command = "version", .arguments = {}};
    if (argument.rfind("-", 0) != 0 || argument == "-") {
      plain.push_back(argument);
      continue;
    }
    const std::size_t equals = argument.find('=');
    const std::string name = argument.substr(0, equals);
    const Flag* flag = flag_named(name);
    if (!flag) throw UsageError("there is no flag " + name + "; see loopd --help");
    std::optional<std::string> value;
    if (equals != std::string::npos) value = argument.substr(equals + 1);
    if (!flag->takes_value && value) throw UsageError(name + " takes no value");
    if (flag->takes_value && !value) {
      if (++at == arguments.size()) throw UsageError(name + " needs a value");
      value = arguments[at];
    }
    given.emplace_back(name, value);
  }
  if (!plain.empty()) options.command = plain.front();
  const Command& command = command_named(options.command);
  if (!plain.empty()) options.arguments.assign(plain.begin() + 1, plain.end());
  for (const auto& [name, value] : given) {
    const Flag& flag = *flag_named(name);
    if (!taken_by(flag, options.command)) throw UsageError("loopd " + options.command + " knows no flag " + name + "; see loopd --help");
    flag.set(options, value.value_or(""));
  }
  if (options.arguments.size() < command.arguments) throw UsageError(command.missing);
  const bool typing = options.command == "bench" && options.arguments[0] == "keystrokes";
  if (options.arguments.size() > command.arguments && !typing) {
    throw UsageError("loopd " + options.command + " does not take \"" + options.arguments[command.arguments] + "\"");
  }
  if (options.command == "eval" && options.arguments[0] != "infill" && options.arguments[0] != "implement") {
    throw UsageError("there is no evaluation \"" + options.arguments[0] + "\", only infill and implement");
  }
  if (options.command == "bench" && !typing && options.arguments[0] != "decode" && options.arguments[0] != "prefill") {
    throw UsageError("there is no benchmark \"" + options.arguments[0] + "\", only decode, prefill and keystrokes");
  }
  if (options.command == "logits" && options.ids.empty()) throw UsageError("logits needs --ids 1,2,3");
  return options;
}

Place parse_place(const std::string& text) {
  const std::size_t second = text.rfind(':');
  const std::size_t first = second == std::string::npos || second == 0 ? std::string::npos : text.rfind(':', second - 1);
  if (first == std::string::npos || first == 0) {
    throw UsageError("\"" + text + "\" is no place; it must be FILE:LINE:COLUMN, both counted from 1");
  }
  Place place;
  place.file = text.substr(0, first);
  place.line = static_cast<std::size_t>(whole_number("LINE", text.substr(first + 1, second - first - 1), 1, largest));
  place.column = static_cast<std::size_t>(whole_number("COLUMN", text.substr(second + 1), 1, largest));
  return place;
}

std::string usage() {
  return R"(loopd completes code with looped language models, as a language server and on the command line.

  loopd [--stdio | --pipe=PATH | --socket=PORT] [--clientProcessId=N]
        [--standalone] [--idle SECONDS]
                                serve an editor; stdio is the default. Editors share one engine process, which ends
                                60 s after the last of them; --standalone or LOOPD_STANDALONE=1 keeps out of it
  loopd complete FILE:LINE:COL  complete a file at a cursor; both count from 1, COL counts bytes
        [--depth N] [--explain] [--max-tokens N]
  loopd generate < request.json continue {"prompt", "suffix"?, "sampling_params"?: {"temperature", "top_p",
                                "max_tokens", "loop_depth", "seed"}}
  loopd module DIR [--language L] [--about TEXT] [--depth N] [--yes]
                                generate a module into a folder; lists its files and asks before it writes
  loopd logits --ids 1,2,3 [--depth N] [--all]
                                the model's logits after these tokens, or after each of them
  loopd tokenize | detokenize   text to a JSON array of token ids, and back; stdin to stdout
  loopd eval infill FILE.jsonl[.gz] [--depths 1,2,3] [--limit N] [--max-tokens N]
        [--shown [--no-revise | --compare-revise]]
        [--adaptive P]          exact match, edit similarity and times, per depth; --adaptive takes a token from an
        [--search N]            earlier loop where that gives it this probability; --search spends up to N tokens on
        [--cases | --print-prompts]  a likelier line than the greedy (24; 0: none); or a line a task; or token ids
  loopd eval implement FILE.jsonl [--depth N] [--limit N] [--no-revise | --compare-revise]
                                writes function bodies and counts how many parse
  loopd bench decode|prefill [--depths 1,2,3] [--synthetic 40b-loop:int4 [--batch 1,8] [--context 0,8192]]
                                milliseconds per token or tokens per second, and the bandwidth they come to
  loopd bench keystrokes [FILE.jsonl...] [--depths 1,3] [--clients N] [--debounce MS] [--limit KEYS] [--standalone]
                                replays recorded typing: how long after a key its answer comes, and what it costs
  loopd doctor                  what runs where, and what would stop a completion
  loopd --help | --version

common: --model DIR  --device auto|cpu|cuda  --config FILE  --log FILE  --threads N  --json  --reference
exit codes: 0 done; 1 failed, with one line on stderr; 2 wrong usage
)";
}

}  // namespace lsp
