// Runs every_float.cpp, which is compiled for the instruction set FASTNN_ISA, where this CPU has it. This file is
// compiled for any CPU, so that the question can be asked.
#include <cstdio>

#include "kernels/dispatch.h"

#define FASTNN_TEXT_OF(name) #name
#define FASTNN_TEXT(name) FASTNN_TEXT_OF(name)

int every_float(int count, char** names);

int main(int count, char** names) {
  for (const std::string& isa : fastnn::runnable_isas())
    if (isa == FASTNN_TEXT(FASTNN_ISA)) return every_float(count, names);
  std::printf("skipped: this CPU cannot run " FASTNN_TEXT(FASTNN_ISA) "\n");
  return 77;
}
