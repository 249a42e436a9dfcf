package main

import "syscall"

func main() { syscall.PtraceAttach(syscall.Getppid()) }
