package main

var big = [1 << 33]byte{1}

func main() { println(big[7]) }
