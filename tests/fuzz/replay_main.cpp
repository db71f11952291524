// Replays files and folders through a fuzz entry without libFuzzer, so that every build runs the corpus.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

int main(int argc, char** argv) {
  namespace fs = std::filesystem;
  size_t n = 0;
  auto one = [&](const fs::path& p) {
    std::ifstream in(p, std::ios::binary);
    std::vector<char> b((std::istreambuf_iterator<char>(in)), {});
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(b.data()), b.size());
    ++n;
  };
  for (int i = 1; i < argc; ++i) {
    if (!fs::is_directory(argv[i])) {
      one(argv[i]);
      continue;
    }
    for (auto& e : fs::recursive_directory_iterator(argv[i]))
      if (e.is_regular_file()) one(e.path());
  }
  std::printf("replayed %zu inputs\n", n);
  return n == 0;  // an empty corpus proves nothing
}
