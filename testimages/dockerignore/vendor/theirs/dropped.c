vendor/theirs/dropped.c
