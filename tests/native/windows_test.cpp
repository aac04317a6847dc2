// What Windows leaves the process of the machine.
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include "checks.h"

namespace {

void affinity_narrows_the_team() {
  HANDLE self = GetCurrentProcess();
  DWORD_PTR before = 0, machine = 0;
  CHECK(GetProcessAffinityMask(self, &before, &machine));
  DWORD_PTR one = before & (~before + 1);
  CHECK(SetProcessAffinityMask(self, one));
  CHECK(available_cpus() == 1);
  CHECK(SetProcessAffinityMask(self, before));
  CHECK((available_cpus() > 1) == (before != one));
}

}  // namespace

int main() {
  affinity_narrows_the_team();
  return report();
}
