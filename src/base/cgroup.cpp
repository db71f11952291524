#include "base/cgroup.h"

#include <sstream>

namespace moraine {

namespace {

// From root/path up to root: inside a container its own group appears as the root.
std::vector<std::string> up_to(const std::string& root, std::string path) {
  while (!path.empty() && path.back() == '/') path.pop_back();
  std::vector<std::string> folders;
  while (!path.empty() && path.find("..") == std::string::npos) {
    folders.push_back(root + path);
    path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
  }
  folders.push_back(root);
  return folders;
}

}  // namespace

std::vector<std::string> cgroup_folders(const std::string& proc_cgroup) {
  std::string path;
  std::istringstream in(proc_cgroup);
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("0::")) path = line.substr(3);
  return up_to("/sys/fs/cgroup", path);
}

std::vector<std::string> cgroup_v1_folders(const std::string& proc_cgroup, const std::string& controller) {
  std::istringstream in(proc_cgroup);
  for (std::string line; std::getline(in, line);) {  // "4:cpu,cpuacct:/box"
    const size_t names = line.find(':') + 1, path = line.find(':', names) + 1;
    if (names == 0 || path == 0) continue;
    if (("," + line.substr(names, path - 1 - names) + ",").find("," + controller + ",") == std::string::npos)
      continue;
    // Systems link each controller's own name to where it is mounted with others.
    return up_to("/sys/fs/cgroup/" + controller, line.substr(path));
  }
  return {};
}

}  // namespace moraine
