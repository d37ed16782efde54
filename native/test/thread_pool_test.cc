#include <numeric>

#include "check.h"
#include "program/thread_pool.h"

using namespace troupe::program;

TEST("a divided loop visits every index exactly once, over and over") {
  for (int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    for (size_t count : {0, 1, 7, 64, 1000}) {
      for (int round = 0; round < 50; round++) {
        std::vector<int> visits(count);
        pool.forEach(count, 3, [&](size_t begin, size_t end) {
          for (size_t i = begin; i < end; i++) visits[i]++;
        });
        CHECK(std::accumulate(visits.begin(), visits.end(), size_t{0}) == count);
        for (int visit : visits) CHECK(visit == 1);
        pool.forEach(count, 3, [&](size_t begin, size_t end, int thread) {
          CHECK(thread >= 0 && thread < threads);
          for (size_t i = begin; i < end; i++) visits[i]++;
        });
        for (int visit : visits) CHECK(visit == 2);
      }
    }
  }
}
