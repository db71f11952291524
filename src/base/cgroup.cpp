#include "base/cgroup.h"

#include <fstream>
#include <iterator>
#include <sstream>

namespace moraine {

std::vector<std::string> cgroup_folders(const std::string& proc_cgroup) {
  const std::string root = "/sys/fs/cgroup";
  std::string path;
  std::istringstream in(proc_cgroup);
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("0::")) path = line.substr(3);
  while (!path.empty() && path.back() == '/') path.pop_back();
  std::vector<std::string> folders;
  while (!path.empty() && path.find("..") == std::string::npos) {
    folders.push_back(root + path);
    path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
  }
  folders.push_back(root);  // inside a container its own group appears here
  return folders;
}

std::vector<std::string> cgroup_folders() {
  std::ifstream in("/proc/self/cgroup");
  return cgroup_folders(std::string((std::istreambuf_iterator<char>(in)), {}));
}

}  // namespace moraine
