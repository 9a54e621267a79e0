// Every row is done exactly once, in ranges that keep to the grain, however operations follow each other and the pool ends.
#include "inference/thread_pool.h"

#include <doctest/doctest.h>

using namespace inference;

TEST_CASE("every row is done exactly once, in ranges that start at multiples of the grain") {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    CHECK(pool.threads() == threads);
    for (const std::size_t count : {std::size_t{0}, std::size_t{1}, std::size_t{7}, std::size_t{64}, std::size_t{1001}}) {
      for (const std::size_t grain : {std::size_t{1}, std::size_t{4}, std::size_t{100}}) {
        std::vector<std::atomic<int>> done(count);
        std::atomic<bool> aligned = true;
        pool.run(count, grain, [&](std::size_t begin, std::size_t end) {
          if (begin % grain != 0) aligned = false;
          for (std::size_t i = begin; i < end; ++i) done[i].fetch_add(1);
        });
        CHECK(aligned);
        for (const auto& times : done) REQUIRE(times.load() == 1);
      }
    }
  }
}

TEST_CASE("ten thousand operations in a row do not mix") {
  ThreadPool pool(3);
  std::vector<long> sums(40);
  for (long round = 0; round < 10000; ++round) {
    pool.run(sums.size(), 1, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) sums[i] += round;
    });
  }
  for (const long sum : sums) CHECK(sum == 9999L * 10000 / 2);
}

// A worker on its way into the last operation, which others have done by then, has to notice that there is none to come.
TEST_CASE("a pool ends while its workers are still waking up for an operation that is done, in a row of two thousand") {
  std::atomic<std::size_t> rows = 0;
  for (int round = 0; round < 2000; ++round) {
    ThreadPool pool(3);
    pool.run(8, 1, [&](std::size_t begin, std::size_t end) { rows += end - begin; });
  }
  CHECK(rows == 8 * 2000);
}
