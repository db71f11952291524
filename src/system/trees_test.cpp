// Captured systems: tests/system/trees/NAME holds `root`, what was wanted of it (`need`, as one would type
// it), and the report, letter for letter. MORAINE_UPDATE_GOLDEN=1 writes the reports anew: read the diff.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/options/value.h"
#include "system/report.h"

namespace moraine::system {
namespace {

namespace fs = std::filesystem;

fs::path trees() {
  const char* source = std::getenv("MORAINE_SOURCE_DIR");
  return fs::path(source ? source : ".") / "tests/system/trees";
}

std::vector<std::string> names() {
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(trees())) found.push_back(entry.path().filename());
  std::sort(found.begin(), found.end());
  return found;
}

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string((std::istreambuf_iterator<char>(in)), {});
}

Need read_need(const fs::path& path) {
  Need need;
  std::vector<std::string> models;
  int32_t n_ctx = 0;
  std::istringstream in(read(path));
  for (std::string option, value; in >> option >> value;) {
    if (option == "--gpu-memory")
      EXPECT_TRUE(options::bytes(need.gpu_bytes).set(value));
    else if (option == "-c")
      n_ctx = std::stoi(value);
    else
      models.push_back(value);
  }
  for (const std::string& name : models) {
    const auto found = find_known_models(name);
    EXPECT_EQ(found.size(), 1u) << name;
    add_model(need, *found.at(0), n_ctx);
  }
  return need;
}

class Trees : public testing::TestWithParam<std::string> {};

TEST_P(Trees, TheReportIsAsItWas) {
  const fs::path folder = trees() / GetParam();
  const SystemFacts facts = read_system(RootFiles((folder / "root").string()));
  const Need need = read_need(folder / "need");
  const Abilities abilities{false, {"llama", "gemma3"}};
  const Diagnosis d = diagnose(facts, need, abilities);
  const std::string report =
      text_report(facts, need, d, abilities, {}) + "\nworst: " + severity_name(d.worst) + "\n";
  const fs::path golden = folder / "report.txt";
  if (std::getenv("MORAINE_UPDATE_GOLDEN")) std::ofstream(golden, std::ios::binary) << report;
  EXPECT_EQ(report, read(golden));
  for (const char c : report)
    EXPECT_TRUE(c == '\n' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f)) << int(c);
  EXPECT_FALSE(json_report(facts, need, d).empty());
}

INSTANTIATE_TEST_SUITE_P(All, Trees, testing::ValuesIn(names()), [](const auto& info) {
  std::string name = info.param;
  for (char& c : name)
    if (c == '-') c = '_';
  return name;
});

}  // namespace
}  // namespace moraine::system
