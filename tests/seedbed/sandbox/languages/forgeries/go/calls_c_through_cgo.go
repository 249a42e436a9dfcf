package main

// #include <stdlib.h>
// static void leave(void) { exit(0); }
import "C"

func main() { C.leave() }
