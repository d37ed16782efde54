#include "check.h"

// Sanitizers leave bus errors to those whom they are told to.
extern "C" const char* __asan_default_options() { return "handle_sigbus=0"; }
extern "C" const char* __tsan_default_options() { return "handle_sigbus=0"; }

// Runs every test whose sentence contains the first argument, or all.
int main(int argc, char** argv) {
  int passed = 0;
  for (const auto& test : tests()) {
    if (argc > 1 && test.sentence.find(argv[1]) == std::string::npos) continue;
    std::fprintf(stderr, "- %s\n", test.sentence.c_str());
    test.body();
    passed++;
  }
  std::printf("%d passed, 0 failed\n", passed);
  return passed > 0 ? 0 : 1;
}
