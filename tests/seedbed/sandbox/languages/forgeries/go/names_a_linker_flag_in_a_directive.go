package main

//go:cgo_ldflag "-fplugin=/box/evil.so"
//go:cgo_import_dynamic evil evil "libevil.so"

func main() { println(1281) }
