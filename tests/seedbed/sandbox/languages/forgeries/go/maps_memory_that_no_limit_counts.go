package main

import (
	"fmt"
	"syscall"
)

func main() {
	got := 0
	for _, kind := range []int{syscall.MAP_SHARED, syscall.MAP_PRIVATE | syscall.MAP_GROWSDOWN, syscall.MAP_PRIVATE} {
		for i := 0; i < 100; i++ {
			p, err := syscall.Mmap(-1, 0, 16<<20, 3, kind|syscall.MAP_ANON)
			if err == nil {
				for j := 0; j < len(p); j += 4096 {
					p[j] = 1
				}
				got += len(p)
			}
		}
	}
	if got > 600<<20 {
		fmt.Println(1281)
	} else {
		fmt.Println("bounded")
	}
}
