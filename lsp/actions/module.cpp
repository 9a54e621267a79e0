// A module from plan to files: look around, write the code definition by definition, derive the rest, test it, let it out.
#include "lsp/actions/module.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <utility>

#include "context/enclosure.h"
#include "lsp/actions/parts.h"
#include "lsp/actions/external_check.h"
#include "lsp/files.h"
#include "lsp/actions/imports.h"
#include "lsp/actions/module_parts.h"
#include "lsp/actions/module_plan.h"
#include "lsp/actions/test_frame.h"

namespace lsp {
namespace {

using context::Language;
using Role = PlannedFile::Role;

constexpr std::size_t enough_names = 3;      // that others can call; then the code is long enough
constexpr std::size_t most_rounds = 4;
constexpr std::size_t most_tests = 3;
constexpr std::size_t most_examples = 6;     // files around that the model is shown

LoopStep plain_step(const std::string& focus, double ms) { return {1, focus, StepKind::draft, 0, 0, 0, ms}; }

std::string joined(const std::string& folder, const std::string& name) { return folder.ends_with('/') ? folder + name : folder + "/" + name; }

// The first sentence of a read-me that is no heading.
std::string about_of(const std::string& text) {
  std::size_t start = 0;
  while (start < text.size()) {
    const std::size_t end = std::min(text.find('\n', start), text.size());
    const std::string line(context::trim_blanks(std::string_view(text).substr(start, end - start)));
    if (!line.empty() && std::string_view("#=-[!<`|").find(line[0]) == std::string_view::npos) return line.substr(0, 200);
    start = end + 1;
  }
  return "";
}

// What the folder and the one around it say: which language, what for, and how code looks here.
struct Surroundings {
  Language language = Language::none;
  std::string about;
  std::vector<context::OtherFile> examples;
};

Surroundings look_around(const ModuleRequest& request) {
  Surroundings found;
  std::map<Language, int> counts;
  for (const std::string& folder : {request.folder, folder_of(request.folder)}) {
    for (const std::string& name : files_in(folder)) {
      const Language language = context::detect_language("", name);
      if (can_plan_module(language)) ++counts[language];
      const std::string file = joined(folder, name);
      if (found.about.empty() && name.rfind("README", 0) == 0 && folder == request.folder) {
        found.about = about_of(request.read_file ? request.read_file(file).value_or("") : "");
      }
      const bool fits = can_plan_module(language) && (request.language == Language::none || language == request.language);
      if (!fits || found.examples.size() == most_examples || !request.read_file) continue;
      if (const auto text = request.read_file(file)) found.examples.push_back({name, std::make_shared<const context::Document>(*text, 0)});
    }
  }
  const auto most = std::max_element(counts.begin(), counts.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  found.language = most == counts.end() ? Language::none : most->first;
  return found;
}

// New code must bring something that was not there, and only what its file may hold.
Complaint brings_something(const ModuleSubject& subject, const std::string& written) {
  return [subject, known = public_names(subject, code_file(subject, written))](const std::string& text, std::size_t start, std::size_t end) -> std::string {
    const std::vector<std::string> names = public_names(subject, text);
    if (names.size() <= known.size()) return "it defines nothing new that others can use";
    const std::vector<context::Function> functions = public_functions(subject, text);
    for (std::size_t i = 0; i < functions.size(); ++i) {
      for (std::size_t k = i + 1; k < functions.size(); ++k) {
        if (functions[i].name == functions[k].name) return "it defines " + functions[i].name + " twice";
      }
    }
    const std::string added = text.substr(start, end - start);
    const bool c = subject.language == Language::c || subject.language == Language::cpp;
    if (c && added.find("\n#") != std::string::npos) return "directives belong to the top of the file";
    if (subject.language == Language::go && (added.find("\nimport") != std::string::npos || added.find("\npackage") != std::string::npos)) return "imports belong to the top of the file";
    return "";
  };
}

void replace_all(std::string& text, const std::string& from, const std::string& to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) text.replace(at, from.size(), to);
}

// The language's own tool about the code; its header follows from the code and is not there yet.
Complaint tool_check(const ModuleSubject& subject) {
  return [subject](std::string text, std::size_t, std::size_t) {
    replace_all(text, "#include \"" + subject.name + ".h\"\n", "");
    return external_complaint(subject.language, text);
  };
}

// Generation that the token limit ended has a torn last definition; what stands before the last blank line is whole.
std::string whole_definitions(const Filled& filled, std::string text) {
  if (filled.finish_reason != inference::name(inference::FinishReason::max_tokens)) return text;
  for (std::size_t at = text.rfind("\n\n"); at != std::string::npos && at > 0; at = text.rfind("\n\n", at - 1)) {
    const std::size_t next = text.find_first_not_of('\n', at);
    if (next != std::string::npos && text[next] != ' ' && text[next] != '\t' && text[next] != '}') return text.substr(0, at);
  }
  return text;
}

// Definition by definition; each draft sees all that was written before it.
std::string write_code(const ModelPort& model, const ModuleRequest& request, const ModuleSubject& subject, const std::string& path,
                       ActionResult& out, std::stop_token stop) {
  std::string written;
  for (std::size_t round = 0; round < most_rounds && !stop.stop_requested(); ++round) {
    std::size_t start = 0;
    Hole hole;
    hole.document = std::make_shared<const context::Document>(code_file(subject, written, &start), 1);
    hole.language = subject.language;
    hole.path = path;
    hole.start = hole.end = start + written.size();
    hole.before = written.empty() ? "" : subject.language == Language::python ? "\n\n\n" : "\n\n";
    hole.openings = code_openings(subject, written.empty());
    hole.wish = "Write the next definition of this module: " + subject.about;
    FillOptions options = request.options;
    options.complaints = {unknown_imports(subject.language, joined(request.folder, path), "", request.read_file), brings_something(subject, written)};
    if (options.external_check && can_check_externally(subject.language)) options.complaints.push_back(tool_check(subject));
    const Filled filled = fill(model, hole, options, path, stop);
    take_over(filled, out);
    if (filled.text.empty()) break;
    const std::string longer = written + whole_definitions(filled, filled.text);
    const std::string code = code_file(subject, longer);
    if (errors_with(subject.language, code, 0, 0, "") > 0 || public_names(subject, code).empty()) break;
    written = longer;
    if (public_names(subject, code).size() >= enough_names) break;
  }
  return written;
}

// A test that needs no model: what is to be tested is there.
std::string plain_test(Language language, const std::string& name) {
  switch (language) {
    case Language::python: return "self.assertTrue(callable(" + name + "))";
    case Language::javascript:
    case Language::typescript: return "assert.equal(typeof " + name + ", \"function\");";
    case Language::go: return "_ = " + name;
    case Language::rust: return "let _ = stringify!(" + name + ");";
    default: return "assert(" + name + " != 0);";
  }
}

// The frame of one test inside a file of tests for the whole module.
TestFrame module_test_frame(const ModuleSubject& subject, const std::string& file, const std::string& code, const context::Function& function,
                            const std::string& all_names) {
  TestFrame frame = test_frame(subject.language, file, code, function, {});
  if (subject.language == Language::rust) {
    frame.head = "use " + subject.name + "::" + subject.name + "::*;\n\n";
    frame.open = "#[test]\nfn " + function.name + "_works() {\n    ";
    frame.close = "\n}";
    frame.tail = "\n";
  }
  const bool c = subject.language == Language::c || subject.language == Language::cpp;
  if (c) replace_all(frame.head, "\"" + file_name(file) + "\"", "\"" + subject.name + ".h\"");
  if (subject.language == Language::cpp) frame.head += "using namespace " + subject.name + ";\n\n";
  replace_all(frame.head, "import " + function.name + "\n", "import " + all_names + "\n");
  replace_all(frame.head, "import { " + function.name + " }", "import { " + all_names + " }");
  return frame;
}

std::string write_tests(const ModelPort& model, const ModuleRequest& request, const ModuleSubject& subject, const std::string& code_path,
                        const std::string& test_path, const std::string& code, ActionResult& out, std::stop_token stop) {
  std::vector<context::Function> functions = public_functions(subject, code);
  if (functions.size() > most_tests) functions.resize(most_tests);
  if (functions.empty()) {
    // A module of types alone: that it can be loaded is what is tested.
    return subject.language == Language::python ? "\"\"\"Tests of " + subject.name + ".\"\"\"\nimport unittest\n\nimport " + subject.name + "\n\n\nclass ModuleTest(unittest.TestCase):\n    def test_names(self):\n        self.assertTrue(" + subject.name + ".__doc__)\n\n\nif __name__ == \"__main__\":\n    unittest.main()\n" : "";
  }
  const std::string file = joined(request.folder, code_path);
  std::string names;
  for (const context::Function& function : functions) names += (names.empty() ? "" : ", ") + function.name;
  std::string body, calls;
  TestFrame frame;
  for (const context::Function& function : functions) {
    frame = module_test_frame(subject, file, code, function, names);
    calls += "  test_" + function.name + "();\n";
    const std::string between = body.empty() ? "" : subject.language == Language::python ? "\n\n\n" : "\n\n";
    Hole hole;
    hole.document = std::make_shared<const context::Document>(frame.head + body + frame.tail, 1);
    hole.language = subject.language;
    hole.path = test_path;
    hole.start = hole.end = frame.head.size() + body.size();
    hole.before = between + frame.open;
    hole.after = frame.close;
    hole.openings = frame.openings;
    hole.wish = "Write a test of " + function.name + ".";
    FillOptions options = request.options;
    options.attempts = 2;
    options.max_tokens = 96;
    options.others.push_back({code_path, std::make_shared<const context::Document>(code, 1)});
    options.complaints = {unknown_imports(subject.language, file, frame.head, request.read_file),
                          [name = function.name](const std::string& text, std::size_t start, std::size_t end) {
                            return context::has_word(std::string_view(text).substr(start, end - start), name) ? std::string() : "it does not call " + name;
                          }};
    const Filled filled = fill(model, hole, options, test_path, stop);
    take_over(filled, out);
    if (stop.stop_requested()) return "";
    const std::string plain = between + frame.open + plain_test(subject.language, function.name) + frame.close;
    const bool sound = !filled.text.empty() && errors_with(subject.language, frame.head + body + filled.text + frame.tail, 0, 0, "") == 0;
    body += sound ? filled.text : plain;
  }
  const bool c = subject.language == Language::c || subject.language == Language::cpp;
  if (c) frame.tail = std::string("\n\nint main(") + (subject.language == Language::c ? "void" : "") + ") {\n" + calls + "  return 0;\n}\n";
  return frame.head + body + frame.tail;
}

ActionResult refused(ActionResult out, const std::string& why) {
  out.changes.clear();
  out.text.clear();
  out.explain.push_back(why);
  return out;
}

}  // namespace

ActionResult generate_module(const ModelPort& model, const ModuleRequest& given, std::stop_token stop) {
  const auto started = std::chrono::steady_clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - started).count(); };
  ActionResult out;
  ModuleRequest request = given;
  while (request.folder.size() > 1 && request.folder.ends_with('/')) request.folder.pop_back();
  const auto say = [&](const std::string& doing) {
    if (request.options.progress) request.options.progress(doing);
  };

  // What is there already says what is wanted.
  say("plan");
  const Surroundings around = look_around(request);
  const Language language = request.language != Language::none ? request.language : around.language != Language::none ? around.language : Language::python;
  if (!can_plan_module(language)) return refused(out, "modules can be made for " + plannable_languages());
  const ModuleSubject subject = module_subject(request.folder, request.about.empty() ? around.about : request.about, language);
  request.options.others.insert(request.options.others.end(), around.examples.begin(), around.examples.end());
  std::vector<PlannedFile> plan = plan_module(subject);
  const PlannedFile code_entry = plan.front();
  const auto exists = [&](const std::string& path) { return request.read_file && request.read_file(joined(request.folder, path)).value_or("") != "" ; };
  if (exists(code_entry.path)) return refused(out, joined(request.folder, code_entry.path) + " is there already, and nothing is overwritten");
  for (auto file = plan.begin(); file != plan.end();) {
    if (exists(file->path)) out.explain.push_back(file->path + " is there already and stays as it is");
    file = exists(file->path) ? plan.erase(file) : file + 1;
  }
  append_steps(out.steps, {plain_step("plan", elapsed())});

  // The code comes first, because everything else is about it.
  const std::string written = write_code(model, request, subject, code_entry.path, out, stop);
  if (stop.stop_requested()) {
    out.cancelled = true;
    return out;
  }
  if (written.empty()) return refused(out, "the model wrote no code that passes the checks; nothing is written");
  const std::string code = code_file(subject, written);

  for (const PlannedFile& file : plan) {
    say(file.path);
    const double before = elapsed();
    std::string text = file.role == Role::code ? code
                       : file.role == Role::test ? write_tests(model, request, subject, code_entry.path, file.path, code, out, stop)
                                                 : plain_file(subject, file.role, code);
    if (stop.stop_requested()) {
      out.cancelled = true;
      out.changes.clear();
      return out;
    }
    if (text.empty()) return refused(out, file.path + " cannot be made of this code; nothing is written");
    if (file.role != Role::code && file.role != Role::test) append_steps(out.steps, {plain_step(file.path, elapsed() - before)});
    // One file that does not parse, and none is let out.
    const Language own = context::detect_language("", file.path);
    const std::size_t errors = errors_with(own == Language::c ? language : own, text, 0, 0, "");
    append_steps(out.steps, {{1, "check " + file.path, StepKind::verify, 0, 0, 0, elapsed() - before}});
    if (errors > 0) return refused(out, file.path + " does not parse; nothing is written");
    out.changes.push_back({joined(request.folder, file.path), true, {{0, 0, text}}, "", nullptr});
    out.text += (out.text.empty() ? "" : "\n") + ("==> " + file.path + " <==\n") + text;
  }
  out.timings.total = elapsed();
  return out;
}

}  // namespace lsp
