#pragma once

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kHasSanitizer = true;
#else
constexpr bool kHasSanitizer = false;
#endif

/// A test is a sentence and a function. CHECK ends the program at the first claim that does not hold.
struct Test {
  std::string sentence;
  std::function<void()> body;
};

inline std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

struct Register {
  Register(const char* sentence, std::function<void()> body) { tests().push_back({sentence, std::move(body)}); }
};

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define TEST(sentence)                                                                                                                     \
  static void JOIN(test_, __LINE__)();                                                                                                     \
  static const Register JOIN(register_, __LINE__)(sentence, JOIN(test_, __LINE__));                                                        \
  static void JOIN(test_, __LINE__)()

#define CHECK(claim)                                                                                                                       \
  do {                                                                                                                                     \
    if (!(claim)) {                                                                                                                        \
      std::fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #claim);                                                      \
      std::abort();                                                                                                                        \
    }                                                                                                                                      \
  } while (0)
