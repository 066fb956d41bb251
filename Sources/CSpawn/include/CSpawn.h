#pragma once
#include "system_calls.h"
