vendor/ours/dropped.c
