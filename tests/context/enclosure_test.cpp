// Names what the innermost open bracket before a cursor means.
#include "context/enclosure.h"

#include <doctest/doctest.h>

#include <string>

using namespace context;
using L = Language;

namespace {

const char* text_of(Frame frame) {
  switch (frame) {
    case Frame::top: return "top";
    case Frame::argument: return "argument";
    case Frame::parameters: return "parameters";
    case Frame::condition: return "condition";
    case Frame::group: return "group";
    case Frame::literal: return "literal";
    case Frame::interpolation: return "interpolation";
    case Frame::import_list: return "import_list";
    case Frame::block: return "block";
    case Frame::type_body: return "type_body";
    case Frame::name_space: return "name_space";
  }
  return "";
}

}  // namespace

TEST_CASE("frames by the words before a bracket") {
  struct Row {
    Language language;
    const char* text;
    const char* expected;
  };
  const Row rows[] = {
      {L::c, "", "top"},
      {L::c, "int f(", "parameters"},
      {L::c, "f(", "argument"},
      {L::c, "int f() { g(", "argument"},
      {L::c, "int f() { if (", "condition"},
      {L::c, "int f() { x = (", "group"},
      {L::c, "int f() { int a[", "argument"},
      {L::c, "int a[] = {", "literal"},
      {L::c, "int f() {", "block"},
      {L::c, "enum a {", "type_body"},
      {L::c, "int f() {}\n\nstruct b f(struct a x) {", "block"},
      {L::cpp, "extern \"C\" {", "name_space"},
      {L::cpp, "namespace a::b {", "name_space"},
      {L::cpp, "template <class T>\nstruct A : B<T> {", "type_body"},
      {L::cpp, "// a class\nvoid f() {", "block"},
      {L::cpp, "auto f = [](int a) {", "block"},
      {L::cpp, "std::vector<int> a{", "block"},
      {L::cpp, "std::map<int, int> f(", "parameters"},
      {L::javascript, "import {", "import_list"},
      {L::javascript, "export {", "import_list"},
      {L::javascript, "export default {", "literal"},
      {L::javascript, "export function f() {", "block"},
      {L::javascript, "const a = {", "literal"},
      {L::javascript, "f({", "literal"},
      {L::javascript, "f(async (a) => {", "block"},
      {L::javascript, "return {", "literal"},
      {L::javascript, "const a = class extends B {", "type_body"},
      {L::javascript, "const a = 1\nfunction f() {", "block"},
      {L::javascript, "label: {", "literal"},
      {L::typescript, "type A = {", "literal"},
      {L::typescript, "export interface A {", "type_body"},
      {L::typescript, "class A { f(a: string): void {", "block"},
      {L::rust, "use a::{", "import_list"},
      {L::rust, "let a = match b {", "block"},
      {L::rust, "let a = B {", "literal"},
      {L::rust, "a.map(|x| {", "block"},
      {L::rust, "pub(crate) struct A {", "type_body"},
      {L::rust, "fn f() -> Vec<u8>\nwhere\n    T: A,\n{", "block"},
      {L::go, "package a\n\nimport (", "import_list"},
      {L::go, "a := []int{", "literal"},
      {L::go, "go func() {", "block"},
      {L::go, "type A interface {", "type_body"},
      {L::go, "if a := b(); a {", "block"},
      {L::java, "@Entity\npublic class A {", "type_body"},
      {L::java, "class A { int[] b = {", "literal"},
      {L::java, "class A { A(int b) { this.b = new int[", "argument"},
      {L::python, "x = {", "literal"},
      {L::python, "x = [", "literal"},
      {L::python, "x[", "argument"},
      {L::python, "def f(", "parameters"},
      {L::python, "from a import (", "import_list"},
      {L::python, "print(", "argument"},
      {L::python, "return (", "group"},
      {L::python, "f'{", "interpolation"},
      {L::python, "f(\n\ndef g():\n    x = [", "literal"},
      {L::python, "f(\n\ndef g():\n    x", "top"},
  };
  for (const Row& row : rows) {
    const Document document(row.text, 1);
    const std::size_t offset = document.text().size();
    const Enclosure around = enclosure(row.language, document, offset, lex(row.language, document.text()));
    INFO(std::string(name(row.language)), ": ", std::string(row.text));
    CHECK(std::string(text_of(around.frame)) == row.expected);
  }
}
