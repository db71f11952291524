#include "hub/local_models.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>
#include <map>

namespace moraine::hub {
namespace {

namespace fs = std::filesystem;

class LocalModels : public testing::Test {
 protected:
  LocalModels() {
    std::string pattern = testing::TempDir() + "moraine-hub-XXXXXX";
    root_ = ::mkdtemp(pattern.data());
  }
  ~LocalModels() override {
    std::error_code error;
    fs::remove_all(root_, error);
  }
  void write(const std::string& path, const std::string& text = "x") {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  void link(const std::string& path, const std::string& target) {
    fs::create_directories((root_ / path).parent_path());
    fs::create_symlink(target, root_ / path);
  }
  // full name -> path below the root
  std::map<std::string, std::string> find(const Roots& roots) {
    std::map<std::string, std::string> out;
    for (const LocalModel& m : find_local_models(roots))
      out[m.full_name()] = fs::relative(m.path.parent_path(), root_) / m.path.filename();
    return out;
  }
  fs::path root_;
};
using Found = std::map<std::string, std::string>;

TEST_F(LocalModels, HubCache) {
  const std::string repo = "hub/models--unsloth--Qwen3-8B-GGUF/";
  write(repo + "blobs/aaaa", "12345");
  write(repo + "blobs/bbbb", "123");
  write(repo + "refs/main", "2222222222222222222222222222222222222222\n");
  link(repo + "snapshots/1111111111111111111111111111111111111111/Qwen3-8B-Q4_K_M.gguf", "../../blobs/bbbb");
  link(repo + "snapshots/2222222222222222222222222222222222222222/Qwen3-8B-Q4_K_M.gguf", "../../blobs/aaaa");
  link(repo + "snapshots/2222222222222222222222222222222222222222/BF16/Qwen3-8B-BF16-00001-of-00002.gguf",
       "../../../blobs/bbbb");
  link(repo + "snapshots/2222222222222222222222222222222222222222/Qwen3-8B-Q8_0.gguf", "../../blobs/gone");
  link(repo + "snapshots/2222222222222222222222222222222222222222/mmproj-F16.gguf", "../../blobs/aaaa");
  write("hub/datasets--a--b/snapshots/1/x-Q4_0.gguf");

  const auto models = find_local_models({.hub = root_ / "hub"});
  ASSERT_EQ(models.size(), 2u);
  EXPECT_EQ(models[0].full_name(), "unsloth/Qwen3-8B-GGUF:BF16");
  EXPECT_EQ(models[0].n_files, 2u);
  EXPECT_EQ(models[0].n_missing, 1u);
  EXPECT_EQ(models[1].full_name(), "unsloth/Qwen3-8B-GGUF:Q4_K_M");
  EXPECT_EQ(models[1].size_bytes, 5u) << "main's snapshot";
}

TEST_F(LocalModels, Ollama) {
  const std::string digest(64, 'a');
  write("o/blobs/sha256-" + digest, "GGUF");
  const auto manifest = [&](const std::string& d) {
    return R"({"layers": [{"mediaType": "application/vnd.ollama.image.license", "digest": "sha256:)" +
           std::string(64, 'b') + R"("}, {"mediaType": "application/vnd.ollama.image.model", "digest": ")" +
           d + R"("}]})";
  };
  write("o/manifests/registry.ollama.ai/library/qwen3/8b", manifest("sha256:" + digest));
  write("o/manifests/hf.co/bartowski/Llama-GGUF/Q4_K_M", manifest("sha256:" + digest));
  write("o/manifests/registry.ollama.ai/library/evil/1", manifest("sha256:../../../etc/passwd"));
  write("o/manifests/registry.ollama.ai/library/evil/2", "[[[[");
  write("o/manifests/registry.ollama.ai/library/evil/3", R"({"layers": 3})");
  write("o/manifests/registry.ollama.ai/library/evil/4", R"({"layers": [1, {"mediaType": 5}]})");
  write("o/manifests/registry.ollama.ai/library/evil/5", std::string(300 << 10, ' '));
  EXPECT_EQ(find({.ollama = {root_ / "o"}}),
            (Found{{"qwen3:8b", "o/blobs/sha256-" + digest},
                   {"bartowski/Llama-GGUF:Q4_K_M", "o/blobs/sha256-" + digest}}));
}

TEST_F(LocalModels, LmStudioLlamaCppAndFolders) {
  write("lm/user/repo/model-Q6_K.gguf");
  write("lm/user/repo/notes.txt");
  write("cpp/ggml-org_gemma-3-1b-it-GGUF_gemma-3-1b-it-Q4_K_M.gguf");
  write("cpp/x.gguf.downloadInProgress");
  write("models/tiny-Q8_0-00001-of-00002.gguf", "123");
  write("models/tiny-Q8_0-00002-of-00002.gguf", "45");
  write("models/deep/other-Q8_0.gguf");
  link("models/again-Q6_K.gguf", "../lm/user/repo/model-Q6_K.gguf");  // found in the folder first
  fs::create_directories(root_ / "models" / "folder-Q8_0.gguf");
  link("models/loop-Q8_0.gguf", "loop-Q8_0.gguf");
  const Roots roots{.folders = {root_ / "models"},
                    .lm_studio = {root_ / "lm"},
                    .llama_cpp = {root_ / "cpp", root_ / "missing"}};
  EXPECT_EQ(find(roots), (Found{{"tiny:Q8_0", "models/tiny-Q8_0-00001-of-00002.gguf"},
                                {"again:Q6_K", "models/again-Q6_K.gguf"},
                                {"ggml-org_gemma-3-1b-it-GGUF_gemma-3-1b-it:Q4_K_M",
                                 "cpp/ggml-org_gemma-3-1b-it-GGUF_gemma-3-1b-it-Q4_K_M.gguf"}}));
  EXPECT_EQ(find_local_models(roots).back().origin, Origin::kLlamaCpp);
  for (const LocalModel& m : find_local_models(roots))
    if (m.name == "tiny") EXPECT_EQ(m.size_bytes, 5u);
}

}  // namespace
}  // namespace moraine::hub
