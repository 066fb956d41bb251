#pragma once
// Between spawn.c (processes) and steps.c (what one step does). Not seen by Swift.

#include "CSpawn.h"
#include <limits.h>

struct spawn_state {
    int status; // where records go
    int root;   // O_PATH descriptor of SPAWN_SET_ROOT, or -1
    int step;
};

// Does one step. NULL, or the name of the call that failed, errno set.
const char *spawn_step(const struct spawn_step *step, struct spawn_state *state);

void spawn_report(int status, int kind, int step, int value, const char *text);
