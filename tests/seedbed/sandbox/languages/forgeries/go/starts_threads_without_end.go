package main

import (
	"fmt"
	"runtime"
	"time"
)

func main() {
	for i := 0; i < 2000; i++ {
		go func() { runtime.LockOSThread(); time.Sleep(time.Hour) }()
	}
	time.Sleep(time.Second)
	fmt.Println(1281)
}
