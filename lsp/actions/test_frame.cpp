// One function for each family of languages.
#include "lsp/actions/test_frame.h"

#include <cctype>

namespace lsp {

using context::Language;

std::string file_name(const std::string& file) { return file.substr(file.find_last_of('/') + 1); }
std::string folder_of(const std::string& file) { return file.substr(0, file.find_last_of('/') + 1); }
std::string file_stem(const std::string& file) {
  const std::string name = file_name(file);
  return name.substr(0, name.find_last_of('.'));
}
std::string file_ending(const std::string& file) {
  const std::string name = file_name(file);
  const std::size_t dot = name.find_last_of('.');
  return dot == std::string::npos ? "" : name.substr(dot);
}

std::string camel_case(const std::string& name) {
  std::string out;
  bool start = true;
  for (const char c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c))) {
      start = true;
      continue;
    }
    out += start ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c;
    start = false;
  }
  return out;
}

namespace {

std::string last_part(const std::string& name) { return name.substr(name.rfind(':') == std::string::npos ? 0 : name.rfind(':') + 1); }

TestFrame python_frame(const std::string& file, const context::Function& function) {
  const std::string subject = function.type.empty() ? function.name : function.type;
  TestFrame frame;
  frame.file = folder_of(file) + "test_" + file_stem(file) + ".py";
  frame.head = "\"\"\"Tests of " + file_stem(file) + ".\"\"\"\nimport unittest\n\nfrom " + file_stem(file) + " import " + subject + "\n\n\n";
  frame.open = "class " + camel_case(subject) + camel_case(function.type.empty() ? "" : function.name) + "Test(unittest.TestCase):\n    def test_" + function.name + "(self):\n        ";
  frame.tail = "\n\n\nif __name__ == \"__main__\":\n    unittest.main()\n";
  frame.openings = {"", function.type.empty() ? "self.assertEqual(" + function.name + "(" : "subject = " + function.type + "("};
  return frame;
}

TestFrame script_frame(const std::string& file, const context::Function& function) {
  const std::string subject = function.type.empty() ? function.name : function.type;
  const bool compiled = file_ending(file) == ".ts" || file_ending(file) == ".tsx";
  TestFrame frame;
  frame.file = folder_of(file) + file_stem(file) + ".test" + file_ending(file);
  frame.head = "import assert from \"node:assert/strict\";\nimport { test } from \"node:test\";\n\nimport { " + subject + " } from \"./" +
               file_stem(file) + (compiled ? ".js" : file_ending(file)) + "\";\n\n";
  frame.open = "test(\"" + function.name + "\", () => {\n  ";
  frame.close = "\n});";
  frame.tail = "\n";
  frame.openings = {"", function.type.empty() ? "assert.equal(" + function.name + "(" : "const subject = new " + function.type + "("};
  return frame;
}

TestFrame rust_frame(const context::Function& function) {
  TestFrame frame;
  frame.open = "\n\n#[cfg(test)]\nmod " + function.name + "_tests {\n    use super::*;\n\n    #[test]\n    fn " + function.name + "_works() {\n        ";
  frame.close = "\n    }\n}";
  frame.openings = {"", function.type.empty() ? "assert_eq!(" + function.name + "(" : "let subject = " + function.type + "::"};
  return frame;
}

TestFrame go_frame(const std::string& file, const std::string& source, const context::Function& function) {
  const std::size_t clause = source.rfind("package ", 0) == 0 ? 0 : source.find("\npackage ");
  const std::size_t start = clause == std::string::npos ? clause : source.find_first_not_of("\n", clause);
  TestFrame frame;
  frame.file = folder_of(file) + file_stem(file) + "_test.go";
  frame.head = (start == std::string::npos ? "package main" : source.substr(start, source.find('\n', start) - start)) + "\n\nimport \"testing\"\n\n";
  frame.open = "func Test" + camel_case(function.name) + "(t *testing.T) {\n\t";
  frame.close = "\n}";
  frame.tail = "\n";
  frame.openings = {"", "got := " + function.name + "("};
  return frame;
}

TestFrame c_frame(const std::string& file, const context::Function& function, const ReadFile& read_file) {
  TestFrame frame;
  const bool cpp = file_ending(file) != ".c";
  std::string header = file_name(file);
  for (const char* end : {".h", ".hpp", ".hh"}) {
    if (read_file && read_file(folder_of(file) + file_stem(file) + end)) header = file_stem(file) + end;
  }
  const std::string name = last_part(function.name);
  frame.file = folder_of(file) + "test_" + file_stem(file) + (cpp ? ".cpp" : ".c");
  frame.head = std::string(cpp ? "#include <cassert>" : "#include <assert.h>") + "\n\n#include \"" + header + "\"\n\n";
  frame.open = std::string("static void test_") + name + (cpp ? "()" : "(void)") + " {\n  ";
  frame.close = "\n}";
  frame.tail = std::string("\n\nint main(") + (cpp ? "" : "void") + ") {\n  test_" + name + "();\n  return 0;\n}\n";
  frame.openings = {"", function.type.empty() ? "assert(" + function.name + "(" : function.type + " subject"};
  return frame;
}

TestFrame java_frame(const std::string& file, const std::string& source, const context::Function& function) {
  TestFrame frame;
  const std::string type = function.type.empty() ? file_stem(file) : function.type;
  const std::size_t package = source.find("package ");
  frame.file = folder_of(file) + type + "Test.java";
  if (package != std::string::npos) frame.head = source.substr(package, source.find('\n', package) - package) + "\n\n";
  frame.head += "import static org.junit.jupiter.api.Assertions.assertEquals;\n\nimport org.junit.jupiter.api.Test;\n\n";
  frame.open = "class " + type + camel_case(function.name) + "Test {\n    @Test\n    void " + function.name + "() {\n        ";
  frame.close = "\n    }\n}";
  frame.tail = "\n";
  frame.openings = {"", type + " subject = new " + type + "("};
  return frame;
}

}  // namespace

TestFrame test_frame(Language language, const std::string& file, const std::string& source, const context::Function& function,
                     const ReadFile& read_file) {
  TestFrame frame;
  switch (language) {
    case Language::python: frame = python_frame(file, function); break;
    case Language::javascript:
    case Language::typescript:
    case Language::tsx: frame = script_frame(file, function); break;
    case Language::rust: frame = rust_frame(function); break;
    case Language::go: frame = go_frame(file, source, function); break;
    case Language::c:
    case Language::cpp: frame = c_frame(file, function, read_file); break;
    case Language::java: frame = java_frame(file, source, function); break;
    case Language::none: break;
  }
  frame.call = last_part(function.name);
  return frame;
}

}  // namespace lsp
