// The command line: what is understood, and the one line for what is not.
#include "lsp/cli.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using lsp::parse_arguments;
using lsp::UsageError;

TEST_CASE("editors' flags") {
  CHECK(parse_arguments({}).command == "serve");
  CHECK(parse_arguments({"--stdio"}).command == "serve");
  CHECK(parse_arguments({"--pipe=/tmp/x"}).pipe == "/tmp/x");
  CHECK(parse_arguments({"--pipe", "/tmp/x"}).pipe == "/tmp/x");
  CHECK(parse_arguments({"--socket=5000", "--clientProcessId=77"}).client_process == 77);
  CHECK(parse_arguments({"--port", "5000"}).socket == 5000);
  CHECK_FALSE(parse_arguments({}).standalone);
  CHECK(parse_arguments({"--standalone"}).standalone);
  CHECK(parse_arguments({"host", "--idle=5", "--model", "m"}).idle == 5);
}

TEST_CASE("commands and their flags") {
  const auto complete = parse_arguments({"complete", "a.py:1:2", "--json", "--depth=3", "--model", "m"});
  CHECK(complete.command == "complete");
  CHECK(complete.arguments == std::vector<std::string>{"a.py:1:2"});
  CHECK(complete.json);
  CHECK(complete.depth == 3);
  CHECK(complete.model == "m");
  CHECK(parse_arguments({"--model", "m", "complete", "--json", "a.py:1:2"}).command == "complete");
  CHECK(parse_arguments({"logits", "--ids", "1,2,30"}).ids == std::vector<int>{1, 2, 30});
  const auto eval = parse_arguments({"eval", "infill", "x.jsonl.gz", "--depths=1,2", "--limit", "5"});
  CHECK(eval.depths == std::vector<int>{1, 2});
  CHECK(eval.limit == 5);
  CHECK(parse_arguments({"--help"}).command == "help");
  CHECK(parse_arguments({"complete", "-h"}).command == "help");
  CHECK(parse_arguments({"--version"}).command == "version");
}

TEST_CASE("wrong usage is one line") {
  const std::pair<std::vector<std::string>, const char*> rows[] = {
      {{"nosuch"}, "there is no command \"nosuch\"; see loopd --help"},
      {{"--nosuch"}, "there is no flag --nosuch; see loopd --help"},
      {{"complete", "a:1:1", "--pipe=x"}, "loopd complete knows no flag --pipe; see loopd --help"},
      {{"complete", "a:1:1", "--standalone"}, "loopd complete knows no flag --standalone; see loopd --help"},
      {{"complete"}, "complete needs a place: loopd complete FILE:LINE:COLUMN"},
      {{"complete", "a:1:1", "b:1:1"}, "loopd complete does not take \"b:1:1\""},
      {{"--model"}, "--model needs a value"},
      {{"--json=1"}, "--json takes no value"},
      {{"--socket=0"}, "--socket needs a whole number from 1 to 65535, not \"0\""},
      {{"complete", "a:1:1", "--depth", "two"}, "--depth needs a whole number from 1 to 64, not \"two\""},
      {{"logits"}, "logits needs --ids 1,2,3"},
      {{"logits", "--ids", "1,,2"}, "--ids needs a whole number from 0 to 2147483647, not \"\""},
      {{"bench", "taste"}, "there is no benchmark \"taste\", only decode, prefill and keystrokes"},
      {{"eval", "taste", "x"}, "there is no evaluation \"taste\", only infill and implement"},
      {{"--device=tpu"}, "--device is auto, cpu or cuda, not \"tpu\""},
  };
  for (const auto& [arguments, expected] : rows) CHECK_THROWS_WITH_AS(parse_arguments(arguments), expected, UsageError);
}

TEST_CASE("places") {
  const auto place = lsp::parse_place("C:/a:b.py:12:3");
  CHECK(place.file == "C:/a:b.py");
  CHECK(place.line == 12);
  CHECK(place.column == 3);
  for (const char* wrong : {"", "a.py", "a.py:1", ":1:1", "a.py:0:1", "a.py:1:0", "a.py:x:1", "a.py:1:-1", "a.py:1:"}) {
    CAPTURE(wrong);
    CHECK_THROWS_AS(lsp::parse_place(wrong), UsageError);
  }
}
