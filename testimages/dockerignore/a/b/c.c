a/b/c.c
