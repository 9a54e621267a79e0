// Models of a real shape without weights, for measuring speed where there is no checkpoint.
#pragma once

#include <memory>
#include <string>

#include "inference/model.h"

namespace inference {

// "SHAPE" or "SHAPE:TYPE": 40b-loop, 14b-loop, 7b-loop (IQuest-Coder's; "40b", "14b", "7b" mean the same) or default;
// TYPE int4 (groups of 128), int8 or bf16, the output head included; embeddings are bf16. `default` is the shipped model's shape and types.
// Matrices have no data: only a device that fills them with random numbers can load it. Throws std::runtime_error.
std::unique_ptr<Model> synthetic_model(const std::string& name);

}  // namespace inference
