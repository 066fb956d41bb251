#include "CSpawn.h"
typedef int imgbuild_spawn_placeholder;
