// The texts; copies are made by renaming, as their authors would make them.
#include "lsp/commands/guess_samples.h"

#include <initializer_list>
#include <utility>

namespace lsp {
namespace {

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

constexpr const char* kCases = R"(const Case cases[] = {
    {"empty", "", 0, Outcome::accepted, Encoding::utf8},
    {"one letter", "a", 1, Outcome::accepted, Encoding::utf8},
    {"two letters", "ab", 2, Outcome::accepted, Encoding::utf8},
    {"a blank", " ", 1, Outcome::accepted, Encoding::utf8},
    {"a line break", "\n", 1, Outcome::refused, Encoding::utf8},
};

)";

constexpr const char* kStore = "func (s *Store) GetUser(ctx context.Context, id int64) (*User, error) {\n"
                               "\trow := s.db.QueryRowContext(ctx, \"SELECT id, name, created FROM users WHERE id = $1\", id)\n"
                               "\tvar user User\n"
                               "\tif err := row.Scan(&user.ID, &user.Name, &user.Created); err != nil {\n"
                               "\t\treturn nil, fmt.Errorf(\"get user %d: %w\", id, err)\n"
                               "\t}\n"
                               "\treturn &user, nil\n"
                               "}\n\n";

std::string renamed(std::string text, std::initializer_list<std::pair<const char*, const char*>> names) {
  for (const auto& [from, to] : names) {
    const std::string old = from, now = to;
    for (std::size_t at = text.find(old); at != std::string::npos; at = text.find(old, at + now.size())) text.replace(at, old.size(), now);
  }
  return text;
}

// `block` and behind it `copy`, whose first line stands there already.
GuessSample again(const char* path, const std::string& block, const std::string& copy) {
  const std::size_t first = copy.find('\n') + 1;
  return {path, block + copy.substr(0, first), copy.substr(first), "\n"};
}

}  // namespace

std::vector<GuessSample> repeating_edits() {
  const std::string points = kPoints, handlers = kHandlers, routes = kRoutes, cases = kCases, store = kStore;
  return {
      again("points.py", points, renamed(points, {{"Point", "Vector"}})),
      again("handlers.cpp", handlers, renamed(handlers, {{"handle_open", "handle_change"}, {".open(", ".change("}})),
      again("routes.js", routes, renamed(routes, {{"users", "orders"}})),
      again("store.go", store, renamed(store, {{"User", "Team"}, {"user", "team"}})),
      again("cases.cpp", cases, renamed(cases, {{"cases", "strict_cases"}, {"utf8", "utf16"}})),
      again("sessions.cpp", handlers, renamed(handlers, {{"handle_open", "open_session"}, {"document", "session"}, {"uri", "name"}})),
  };
}

std::vector<GuessSample> other_openings() {
  return {
      {"search.py", "def binary_search(values, wanted):\n    low = 0\n    high = len(values) - 1\n", "", "\n"},
      {"read.cpp", "#include <fstream>\n#include <string>\n\nstd::string read_file(const std::string& path) {\n", "", "\n"},
      {"debounce.js", "export function debounce(callback, delay) {\n  let timer = null;\n", "", "\n"},
      {"words.go", "package main\n\nimport \"strings\"\n\nfunc countWords(text string) map[string]int {\n", "", "\n"},
  };
}

}  // namespace lsp
