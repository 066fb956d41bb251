vendor/ours/kept.c
